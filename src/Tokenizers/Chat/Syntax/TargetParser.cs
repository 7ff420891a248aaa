namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>Parses the left side of an assignment: a name, <c>namespace.name</c>, or a tuple of them.</summary>
/// <remarks>jinja2/parser.py, parse_assign_target</remarks>
internal sealed class TargetParser(TokenCursor tokens)
{
    private int _depth;

    public AssignmentTarget Parse(bool withNamespace = false)
    {
        List<AssignmentTarget> items = [];
        bool isTuple = false;
        if (++_depth > RenderBudget.MaxDepth) throw tokens.CreateException("an expression is nested too deeply");
        while (tokens.Current.Kind != TemplateTokenKind.BlockEnd && !tokens.IsOperator(")"))
        {
            items.Add(ParseItem(withNamespace));
            if (!tokens.TryConsumeOperator(",")) break;
            isTuple = true;
        }
        _depth--;
        if (isTuple) return new TupleTarget(items);
        return items.Count == 1 ? items[0] : throw tokens.CreateException($"a name is expected, not {tokens.Current.Description}");
    }

    /// <summary>Parses a name that can be assigned.</summary>
    public string ParseName()
    {
        string name = tokens.ExpectName();
        return name is "true" or "false" or "none" or "True" or "False" or "None"
            ? throw tokens.CreateException($"'{name}' cannot be set") : name;
    }

    private AssignmentTarget ParseItem(bool withNamespace)
    {
        if (tokens.TryConsumeOperator("("))
        {
            AssignmentTarget tuple = Parse();
            tokens.ExpectOperator(")");
            return tuple;
        }
        int line = tokens.Current.Line;
        string name = ParseName();
        return withNamespace && tokens.TryConsumeOperator(".")
            ? new NamespaceTarget(new NameExpression(name, line), tokens.ExpectName()) : new NameTarget(name);
    }
}
