namespace Ndif.Tokenizers.Chat;

/// <summary>An expression of a template: a node that has a value.</summary>
/// <remarks>jinja2/nodes.py, Expr</remarks>
internal abstract record TemplateExpression
{
    public object? Evaluate(TemplateScope scope)
    {
        scope.Budget.CountStep();
        return EvaluateCore(scope);
    }

    protected abstract object? EvaluateCore(TemplateScope scope);

    public string EvaluateText(TemplateScope scope) => TemplateValueFormatter.ToText(Evaluate(scope));

    public bool IsTrue(TemplateScope scope) => TemplateValues.IsTrue(Evaluate(scope));
}

internal sealed record ConstantExpression(object? Content) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Content;
}

internal sealed record NameExpression(string Identifier) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => scope.Get(Identifier);
}

/// <summary><c>[a, b]</c>, or the tuple <c>(a, b)</c></summary>
internal sealed record ListExpression(IReadOnlyList<TemplateExpression> Items, bool IsTuple = false) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        IEnumerable<object?> values = Items.Select(item => item.Evaluate(scope));
        return IsTuple ? new TupleValue(values) : values.ToList();
    }
}

/// <summary><c>{"a": b}</c></summary>
internal sealed record DictionaryExpression(IReadOnlyList<(TemplateExpression Key, TemplateExpression Value)> Entries)
    : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        Dictionary<string, object?> map = new(StringComparer.Ordinal);
        foreach (var (key, value) in Entries)
        {
            string name = key.Evaluate(scope) as string ?? throw new ChatTemplateException("the keys of a dictionary must be texts");
            map[name] = value.Evaluate(scope);
        }
        return map;
    }
}

/// <summary><c>a if condition else b</c></summary>
internal sealed record ConditionalExpression(TemplateExpression Condition, TemplateExpression Then, TemplateExpression? Else)
    : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) =>
        Condition.IsTrue(scope) ? Then.Evaluate(scope) : Else is null ? new UndefinedValue("") : Else.Evaluate(scope);
}
