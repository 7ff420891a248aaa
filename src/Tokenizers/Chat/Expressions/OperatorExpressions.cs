namespace Ndif.Tokenizers.Chat.Expressions;

/// <summary><c>not a</c></summary>
internal sealed record NotExpression(TemplateExpression Operand) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Operand];

    protected override object? EvaluateCore(TemplateFrame frame) => !Operand.IsTrue(frame);
}

/// <summary><c>-a</c> or <c>+a</c></summary>
internal sealed record SignExpression(bool IsNegative, TemplateExpression Operand) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Operand];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? value = Operand.Evaluate(frame);
        if (!TemplateNumbers.IsNumber(value))
            throw new ChatTemplateException($"`{(IsNegative ? "-" : "+")}` does not go with {TemplateValues.DescribeType(value)}");
        return IsNegative ? TemplateNumbers.Negate(value!) : TemplateNumbers.Compute("+", value!, 0L);
    }
}

/// <summary><c>a and b</c> or <c>a or b</c>. The value is that of the last operand that is evaluated, as in Python.</summary>
internal sealed record LogicalExpression(bool IsAnd, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Left, Right];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? left = Left.Evaluate(frame);
        return TemplateValues.IsTrue(left) == IsAnd ? Right.Evaluate(frame) : left;
    }
}

/// <summary><c>a &lt; b</c>, or a chain such as <c>a &lt; b &lt; c</c></summary>
internal sealed record CompareExpression(TemplateExpression First, IReadOnlyList<(string Operator, TemplateExpression Operand)> Rest)
    : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [First, .. Rest.Select(operand => operand.Operand)];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? left = First.Evaluate(frame);
        foreach (var (op, operand) in Rest)
        {
            object? right = operand.Evaluate(frame);
            frame.Budget.CountRead(right);
            bool isTrue = op switch
            {
                "in" => TemplateValues.Contains(right, left),
                "not in" => !TemplateValues.Contains(right, left),
                _ => TemplateValues.Compare(op, left, right),
            };
            if (!isTrue) return false;
            left = right;
        }
        return true;
    }
}

/// <summary><c>a ~ b ~ c</c>: the texts of the operands, one after the other</summary>
internal sealed record ConcatExpression(IReadOnlyList<TemplateExpression> Operands) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => Operands;

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        List<object?> values = [.. Operands.Select(operand => operand.Evaluate(frame))];
        return frame.Budget.CountOutput(string.Concat(values.Select(TemplateValueFormatter.ToText)));
    }
}

/// <summary><c>a + b</c> and the other binary operators on numbers, strings and lists</summary>
internal sealed record ArithmeticExpression(string Operator, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    public override IEnumerable<TemplateExpression> Children => [Left, Right];

    protected override object? EvaluateCore(TemplateFrame frame)
    {
        object? left = Left.Evaluate(frame), right = Right.Evaluate(frame);
        return TemplateOperators.Compute(Operator, left, right, frame.Context);
    }
}
