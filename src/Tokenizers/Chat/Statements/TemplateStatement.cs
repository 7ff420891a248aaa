namespace Ndif.Tokenizers.Chat.Statements;

/// <summary>How the execution of a template continues after a statement.</summary>
internal enum ControlFlow { Next, Break, Continue }

/// <summary>A statement of a template: a node that writes text or sets names.</summary>
/// <remarks>jinja2/nodes.py, Stmt</remarks>
internal abstract record TemplateStatement
{
    public int Line { get; init; }

    /// <summary>The names that the statement and those in it read and set, in order.</summary>
    public abstract IEnumerable<NameUse> NameUses { get; }

    /// <summary>Adds the names that the statement reads and sets in its own scope, not those of scopes in it.</summary>
    public abstract void CollectNames(ScopeSymbols symbols);

    /// <summary>Binds names to scopes, and creates the scopes in the statement.</summary>
    public abstract void Bind(ScopeSymbols symbols);

    public abstract ControlFlow Execute(TemplateFrame frame);

    protected static IEnumerable<NameUse> ReadsOf(params IEnumerable<TemplateExpression?> expressions) =>
        expressions.OfType<TemplateExpression>().SelectMany(expression => expression.Names).Select(name =>
            new NameUse(name.Identifier, true));
}

/// <summary>Text outside of tags.</summary>
internal sealed record TextNode(string Text) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => [];

    public override void CollectNames(ScopeSymbols symbols)
    {
    }

    public override void Bind(ScopeSymbols symbols)
    {
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        frame.Write(Text);
        return ControlFlow.Next;
    }
}

/// <summary><c>{{ expression }}</c> or <c>{% print a, b %}</c></summary>
internal sealed record OutputNode(IReadOnlyList<TemplateExpression> Values) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => ReadsOf(Values);

    public override void CollectNames(ScopeSymbols symbols)
    {
        foreach (TemplateExpression value in Values) value.CollectNames(symbols);
    }

    public override void Bind(ScopeSymbols symbols)
    {
        foreach (TemplateExpression value in Values)
        {
            value.Bind(symbols);
            if (!value.IsConstant) continue;
            foreach (SliceExpression slice in value.SelfAndDescendants.OfType<SliceExpression>()) slice.IsInConstantOutput = true;
        }
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        foreach (TemplateExpression value in Values) frame.Write(value.EvaluateText(frame));
        return ControlFlow.Next;
    }
}

/// <summary>A sequence of statements. It adds the line of a failed statement to the exception.</summary>
internal sealed record TemplateBody(IReadOnlyList<TemplateStatement> Statements) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => Statements.SelectMany(statement => statement.NameUses);

    public override void CollectNames(ScopeSymbols symbols)
    {
        foreach (TemplateStatement statement in Statements) statement.CollectNames(symbols);
    }

    public override void Bind(ScopeSymbols symbols)
    {
        foreach (TemplateStatement statement in Statements) statement.Bind(symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        RenderContext.EnsureStack();
        foreach (TemplateStatement statement in Statements)
        {
            frame.Budget.CountStep();
            try
            {
                if (statement.Execute(frame) is not ControlFlow.Next and var flow) return flow;
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {statement.Line}: {e.Message}", e);
            }
        }
        return ControlFlow.Next;
    }
}

/// <summary><c>{% if a %} ... {% elif b %} ... {% else %} ... {% endif %}</c></summary>
internal sealed record IfNode(IReadOnlyList<(TemplateExpression Condition, TemplateBody Then)> Cases, TemplateBody? Else)
    : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses =>
        [.. Cases.SelectMany(part => ReadsOf(part.Condition).Concat(part.Then.NameUses)), .. Else?.NameUses ?? []];

    public override void CollectNames(ScopeSymbols symbols)
    {
        Cases[0].Condition.CollectNames(symbols);
        symbols.CollectBranches([() => Cases[0].Then.CollectNames(symbols), CollectElifs, () => Else?.CollectNames(symbols)]);

        void CollectElifs()
        {
            foreach (var (condition, then) in Cases.Skip(1))
            {
                condition.CollectNames(symbols);
                symbols.CollectBranches([() => then.CollectNames(symbols)]);
            }
        }
    }

    public override void Bind(ScopeSymbols symbols)
    {
        foreach (var (condition, then) in Cases)
        {
            condition.Bind(symbols);
            then.Bind(symbols);
        }
        Else?.Bind(symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        foreach (var (condition, then) in Cases)
            if (condition.IsTrue(frame)) return then.Execute(frame);
        return Else?.Execute(frame) ?? ControlFlow.Next;
    }
}

/// <summary><c>{% break %}</c> or <c>{% continue %}</c> (jinja2/ext.py, LoopControlExtension)</summary>
internal sealed record LoopControlNode(ControlFlow Flow) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => [];

    public override void CollectNames(ScopeSymbols symbols)
    {
    }

    public override void Bind(ScopeSymbols symbols)
    {
    }

    public override ControlFlow Execute(TemplateFrame frame) => Flow;
}
