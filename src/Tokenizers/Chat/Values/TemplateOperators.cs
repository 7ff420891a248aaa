namespace Ndif.Tokenizers.Chat.Values;

/// <summary>The binary operators on values: numbers, strings, lists and tuples.</summary>
internal static class TemplateOperators
{
    public static object? Compute(string op, object? left, object? right, RenderContext context)
    {
        foreach (object? operand in new[] { left, right })
            if (operand is UndefinedValue undefined
                && !(op == "%" && ReferenceEquals(operand, right) && TemplateValues.AsText(left) is not null))
                throw new ChatTemplateException(undefined.Reason);
        if (TemplateNumbers.IsNumber(left) && TemplateNumbers.IsNumber(right)) return TemplateNumbers.Compute(op, left!, right!);
        switch (op)
        {
            case "+" when TemplateValues.AsText(left) is { } a && TemplateValues.AsText(right) is { } b:
                context.Budget.CountOutput(a.Length + b.Length);
                return left is MarkupValue || right is MarkupValue ? new MarkupValue(Markup.Escape(left) + Markup.Escape(right)) : a + b;
            case "+" when left is List<object?> a && right is List<object?> b:
                context.Budget.CountOutput(a.Count + b.Count);
                return a.Concat(b).ToList();
            case "+" when left is TupleValue a && right is TupleValue b:
                context.Budget.CountOutput(a.Items.Count + b.Items.Count);
                return new TupleValue([.. a.Items, .. b.Items]);
            case "*" when TemplateNumbers.IsInteger(right) && IsRepeatable(left):
                return Repeat(left!, TemplateNumbers.ToBigInteger(right!), context.Budget);
            case "*" when TemplateNumbers.IsInteger(left) && IsRepeatable(right):
                return Repeat(right!, TemplateNumbers.ToBigInteger(left!), context.Budget);
            case "%" when left is MarkupValue markup:
                return new MarkupValue(PercentFormatter.Format(markup.Text, right, context, escapes: true));
            case "%" when left is string text:
                return PercentFormatter.Format(text, right, context);
            default:
                throw new ChatTemplateException($"`{op}` does not go with {TemplateValues.DescribeType(left)} and " +
                    TemplateValues.DescribeType(right));
        }
    }

    private static bool IsRepeatable(object? value) => value is string or MarkupValue or List<object?> or TupleValue;

    private static object Repeat(object value, System.Numerics.BigInteger times, RenderBudget budget)
    {
        int length = TemplateValues.AsText(value)?.Length ?? (int)TemplateValues.Length(value)!.Value;
        int count = times.Sign <= 0 || length == 0 ? 0 : (int)System.Numerics.BigInteger.Min(times, RenderBudget.MaxLength + 1);
        budget.CountOutput((long)count * length);
        return value switch
        {
            string text => string.Concat(Enumerable.Repeat(text, count)),
            MarkupValue markup => new MarkupValue(string.Concat(Enumerable.Repeat(markup.Text, count))),
            TupleValue tuple => new TupleValue([.. Enumerable.Repeat(tuple.Items, count).SelectMany(items => items)]),
            _ => Enumerable.Repeat((List<object?>)value, count).SelectMany(items => items).ToList(),
        };
    }
}
