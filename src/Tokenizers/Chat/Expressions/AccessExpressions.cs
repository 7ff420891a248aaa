namespace Ndif.Tokenizers.Chat.Expressions;

/// <summary>
/// <c>a.name</c>. A method takes precedence over a dictionary entry of the same name. For <c>a["name"]</c> it is the reverse.
/// </summary>
/// <remarks>jinja2/sandbox.py, getattr</remarks>
internal sealed record AttributeExpression(TemplateExpression Target, string Field) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Target];

    protected override object? EvaluateCore(TemplateFrame frame) => TemplateAccess.GetAttribute(Target.Evaluate(frame), Field);
}

/// <summary><c>a[key]</c></summary>
internal sealed record SubscriptExpression(TemplateExpression Target, TemplateExpression Key) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Target, Key];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? target = Target.Evaluate(frame), key = Key.Evaluate(frame);
        if (target is string text && !CodePoints.AreChars(text)) frame.Budget.CountOutput(text.Length);
        return TemplateAccess.GetItem(target, key);
    }
}

/// <summary><c>a[start:stop:step]</c></summary>
internal sealed record SliceExpression(
    TemplateExpression Target, TemplateExpression? Start, TemplateExpression? Stop, TemplateExpression? Step) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children =>
        new[] { Target, Start, Stop, Step }.OfType<TemplateExpression>();

    /// <summary>
    /// Whether Jinja computes the output that it is a part of when it compiles the template. There a value that cannot be sliced gives an
    /// undefined one, and an error elsewhere.
    /// </summary>
    /// <remarks>jinja2/environment.py, getitem; jinja2/compiler.py, visit_Getitem</remarks>
    public bool IsInConstantOutput { get; set; }

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? target = Target.Evaluate(frame);
        if (IsInConstantOutput && !TemplateAccess.CanSlice(target)) return UndefinedValue.OfItem(target, "slice");
        object? start = Start?.Evaluate(frame), stop = Stop?.Evaluate(frame), step = Step?.Evaluate(frame);
        object? slice = TemplateAccess.Slice(target, start, stop, step);
        frame.Budget.CountRead(slice);
        return slice;
    }
}
