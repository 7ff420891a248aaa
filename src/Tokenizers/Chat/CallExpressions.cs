namespace Ndif.Tokenizers.Chat;

/// <summary><c>f(a, b, name=c)</c></summary>
internal sealed record CallExpression(TemplateExpression Target, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Target.Evaluate(scope) switch
    {
        TemplateFunction function => function(Arguments.Evaluate(scope)),
        var other => throw new ChatTemplateException($"{TemplateValues.DescribeType(other)} cannot be called"),
    };
}

/// <summary><c>value | name(arguments)</c></summary>
internal sealed record FilterExpression(TemplateExpression Input, string Name, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) =>
        TemplateFilters.Apply(Name, Input.Evaluate(scope), Arguments.Evaluate(scope), scope.Budget);
}

/// <summary><c>value is name(arguments)</c></summary>
internal sealed record TestExpression(TemplateExpression Input, string Name, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) =>
        TemplateTestFunctions.Evaluate(Name, Input.Evaluate(scope), Arguments.EvaluatePositional(scope));
}

/// <summary>The argument expressions of a call.</summary>
internal sealed record CallArgumentList(
    IReadOnlyList<TemplateExpression> PositionalArguments, IReadOnlyList<(string Name, TemplateExpression Value)> KeywordArguments)
{
    public static readonly CallArgumentList None = new([], []);

    public TemplateArguments Evaluate(TemplateScope scope) => new(EvaluatePositional(scope), EvaluateKeywords(scope));

    public List<object?> EvaluatePositional(TemplateScope scope) => [.. PositionalArguments.Select(argument => argument.Evaluate(scope))];

    private Dictionary<string, object?> EvaluateKeywords(TemplateScope scope) =>
        KeywordArguments.ToDictionary(argument => argument.Name, argument => argument.Value.Evaluate(scope), StringComparer.Ordinal);
}
