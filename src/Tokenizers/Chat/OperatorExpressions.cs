namespace Ndif.Tokenizers.Chat;

/// <summary><c>not a</c></summary>
internal sealed record NotExpression(TemplateExpression Operand) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => !Operand.IsTrue(scope);
}

/// <summary><c>-a</c></summary>
internal sealed record NegateExpression(TemplateExpression Operand) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Operand.Evaluate(scope) switch
    {
        long integer => (object)-integer,
        double real => -real,
        var other => throw new ChatTemplateException($"`-` does not go with {TemplateValues.DescribeType(other)}"),
    };
}

/// <summary><c>a and b</c> or <c>a or b</c>. The value is that of the last operand that is evaluated, as in Python.</summary>
internal sealed record LogicalExpression(bool IsAnd, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = Left.Evaluate(scope);
        return TemplateValues.IsTrue(left) == IsAnd ? Right.Evaluate(scope) : left;
    }
}

/// <summary><c>a &lt; b</c>, or a chain such as <c>a &lt; b &lt; c</c></summary>
internal sealed record CompareExpression(TemplateExpression First, IReadOnlyList<(string Operator, TemplateExpression Operand)> Rest)
    : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = First.Evaluate(scope);
        foreach (var (op, operand) in Rest)
        {
            object? right = operand.Evaluate(scope);
            scope.Budget.CountRead(right);
            bool isTrue = op switch
            {
                "==" => TemplateValues.Equals(left, right),
                "!=" => !TemplateValues.Equals(left, right),
                "in" => TemplateValues.Contains(right, left),
                "not in" => !TemplateValues.Contains(right, left),
                "<" => TemplateValues.Compare(left, right) < 0,
                "<=" => TemplateValues.Compare(left, right) <= 0,
                ">" => TemplateValues.Compare(left, right) > 0,
                _ => TemplateValues.Compare(left, right) >= 0,
            };
            if (!isTrue) return false;
            left = right;
        }
        return true;
    }
}

/// <summary><c>a + b</c> and the other binary operators on numbers, strings and lists</summary>
internal sealed record ArithmeticExpression(string Operator, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = Left.Evaluate(scope), right = Right.Evaluate(scope);
        switch (Operator, left, right)
        {
            case ("~", _, _):
                return scope.Budget.CountOutput(TemplateValueFormatter.ToText(left) + TemplateValueFormatter.ToText(right));
            case ("+", string a, string b):
                return scope.Budget.CountOutput(a + b);
            case ("+", List<object?> a, List<object?> b):
                scope.Budget.CountOutput(a.Count + b.Count);
                return a.Concat(b).ToList();
            case ("*", string text, long count):
                return Repeat(text, count, scope.Budget);
            case ("*", long count, string text):
                return Repeat(text, count, scope.Budget);
            case (_, bool or long, bool or long):
                return ComputeInteger((long)TemplateValues.ToDouble(left), (long)TemplateValues.ToDouble(right));
            case (_, bool or long or double, bool or long or double):
                return ComputeReal(TemplateValues.ToDouble(left), TemplateValues.ToDouble(right));
            default:
                throw new ChatTemplateException($"`{Operator}` does not go with {TemplateValues.DescribeType(left)} and " +
                    TemplateValues.DescribeType(right));
        }
    }

    private static string Repeat(string text, long count, RenderBudget budget)
    {
        if (count <= 0) return "";
        budget.CountOutput(checked(Math.Min(count, RenderBudget.MaxLength + 1L) * text.Length));
        return string.Concat(Enumerable.Repeat(text, (int)count));
    }

    private object ComputeInteger(long a, long b)
    {
        try
        {
            return checked(Operator switch
            {
                "+" => (object)(a + b),
                "-" => a - b,
                "*" => a * b,
                "/" => b == 0 ? throw CreateDivisionByZeroException() : (double)a / b,
                "//" => b == 0 ? throw CreateDivisionByZeroException() : (long)Math.Floor((double)a / b),
                "%" => b == 0 ? throw CreateDivisionByZeroException() : b == -1 ? 0L : ((a % b) + b) % b,
                _ => Math.Pow(a, b) is var power && b >= 0 && Math.Abs(power) < 9e15 ? (long)power : (object)power,
            });
        }
        catch (OverflowException e)
        {
            throw new ChatTemplateException("a number is too large", e);
        }
    }

    private double ComputeReal(double a, double b) => Operator switch
    {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => b == 0 ? throw CreateDivisionByZeroException() : a / b,
        "//" => b == 0 ? throw CreateDivisionByZeroException() : Math.Floor(a / b),
        "%" => b == 0 ? throw CreateDivisionByZeroException() : a - b * Math.Floor(a / b),
        _ => Math.Pow(a, b),
    };

    private static ChatTemplateException CreateDivisionByZeroException() => new("a number is divided by zero");
}
