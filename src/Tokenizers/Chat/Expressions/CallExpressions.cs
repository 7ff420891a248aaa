namespace Ndif.Tokenizers.Chat.Expressions;

/// <summary><c>f(a, b, name=c)</c></summary>
internal sealed record CallExpression(TemplateExpression Target, CallArguments Arguments) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Target, .. Arguments.Children];

    protected override bool NeedsContext => true;

    protected override object? EvaluateCore(TemplateFrame frame) => Call(frame, null);

    /// <summary>Calls the function, with the body of a call block as its argument <c>caller</c> if there is one.</summary>
    public object? Call(TemplateFrame frame, MacroValue? caller)
    {
        object? target = Target.Evaluate(frame);
        return TemplateAccess.Call(target, Arguments.Evaluate(frame, caller), frame.Context);
    }
}

/// <summary><c>value | name(arguments)</c></summary>
internal sealed record FilterExpression(TemplateExpression Input, string Name, CallArguments Arguments) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Input, .. Arguments.Children];

    protected override bool NeedsContext => TemplateFilters.NeedsContext(Name);

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? input = Input.Evaluate(frame);
        return TemplateFilters.Apply(Name, input, Arguments.Evaluate(frame), frame.Context);
    }
}

/// <summary><c>value is name(arguments)</c></summary>
internal sealed record TestExpression(TemplateExpression Input, string Name, CallArguments Arguments) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Input, .. Arguments.Children];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? input = Input.Evaluate(frame);
        return TemplateTestFunctions.Evaluate(Name, input, Arguments.Evaluate(frame), frame.Context);
    }
}

/// <summary>The argument expressions of a call.</summary>
internal sealed record CallArguments(
    IReadOnlyList<TemplateExpression> Positional,
    IReadOnlyList<(string Name, TemplateExpression Value)> Keywords,
    TemplateExpression? List,
    TemplateExpression? Dictionary)
{
    private const string CallerName = "caller";

    public static readonly CallArguments None = new([], [], null, null);

    public IEnumerable<TemplateExpression> Children =>
        [.. Positional, .. Keywords.Select(keyword => keyword.Value), .. new[] { List, Dictionary }.OfType<TemplateExpression>()];

    /// <param name="caller">The body of a call block, which comes after the named arguments and before those of a dictionary.</param>
    public TemplateArguments Evaluate(TemplateFrame frame, MacroValue? caller = null)
    {
        List<object?> positional = [.. Positional.Select(argument => argument.Evaluate(frame))];
        if (List is not null) positional.AddRange(TemplateValues.Iterate(List.Evaluate(frame)));
        List<KeyValuePair<string, object?>> keywords = [];
        foreach (var (name, value) in Keywords) keywords.Add(new(name, value.Evaluate(frame)));
        if (caller is not null)
        {
            if (keywords.Exists(keyword => keyword.Key == CallerName))
                throw new ChatTemplateException($"the argument '{CallerName}' is given twice");
            keywords.Add(new(CallerName, caller));
        }
        if (Dictionary is not null)
        {
            if (Dictionary.Evaluate(frame) is not MappingValue map)
                throw new ChatTemplateException("the argument after ** must be a dictionary");
            foreach (var (key, value) in map)
            {
                string name = key as string ?? throw new ChatTemplateException("the names of arguments must be texts");
                if (keywords.Exists(keyword => keyword.Key == name))
                    throw new ChatTemplateException($"the argument '{name}' is given twice");
                keywords.Add(new(name, value));
            }
        }
        return new TemplateArguments(positional, keywords);
    }
}
