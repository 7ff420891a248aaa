namespace Ndif.Tokenizers.Chat;

/// <summary>Something that has a value.</summary>
internal abstract record TemplateExpression
{
    public object? Evaluate(TemplateScope scope)
    {
        scope.Budget.CountStep();
        return EvaluateCore(scope);
    }

    protected abstract object? EvaluateCore(TemplateScope scope);

    public string EvaluateText(TemplateScope scope) => TemplateValues.ToText(Evaluate(scope));

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

internal sealed record ListExpression(IReadOnlyList<TemplateExpression> Items, bool IsTuple = false) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => IsTuple ? new TupleValue(Items.Select(item => item.Evaluate(scope))) : Items.Select(item => item.Evaluate(scope)).ToList();
}

internal sealed record DictionaryExpression(IReadOnlyList<(TemplateExpression Key, TemplateExpression Value)> Entries) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        Dictionary<string, object?> map = new(StringComparer.Ordinal);
        foreach (var (key, value) in Entries) map[key.Evaluate(scope) as string ?? throw new ChatTemplateException("a dictionary's keys must be texts")] = value.Evaluate(scope);
        return map;
    }
}

/// <summary>a if condition else b</summary>
internal sealed record ConditionalExpression(TemplateExpression Condition, TemplateExpression Then, TemplateExpression? Else) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Condition.IsTrue(scope) ? Then.Evaluate(scope) : Else is null ? new UndefinedValue("") : Else.Evaluate(scope);
}

internal sealed record NotExpression(TemplateExpression Operand) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => !Operand.IsTrue(scope);
}

internal sealed record NegateExpression(TemplateExpression Operand) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Operand.Evaluate(scope) switch
    {
        long whole => (object)-whole,
        double real => -real,
        var other => throw new ChatTemplateException($"{TemplateValues.DescribeType(other)} has no negative"),
    };
}

/// <summary>and, or: the last value that was looked at.</summary>
internal sealed record LogicalExpression(bool IsAnd, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = Left.Evaluate(scope);
        return TemplateValues.IsTrue(left) == IsAnd ? Right.Evaluate(scope) : left;
    }
}

/// <summary>a &lt; b, a &lt; b &lt; c, ...</summary>
internal sealed record CompareExpression(TemplateExpression First, IReadOnlyList<(string Operator, TemplateExpression With)> Rest) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = First.Evaluate(scope);
        foreach (var (op, with) in Rest)
        {
            object? right = with.Evaluate(scope);
            scope.Budget.CountRead(right);
            bool holds = op switch
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
            if (!holds) return false;
            left = right;
        }
        return true;
    }
}

internal sealed record ArithmeticExpression(string Operator, TemplateExpression Left, TemplateExpression Right) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? left = Left.Evaluate(scope), right = Right.Evaluate(scope);
        switch (Operator, left, right)
        {
            case ("~", _, _): return scope.Budget.CountOutput(TemplateValues.ToText(left) + TemplateValues.ToText(right));
            case ("+", string a, string b): return scope.Budget.CountOutput(a + b);
            case ("+", List<object?> a, List<object?> b):
                scope.Budget.CountOutput(a.Count + b.Count);
                return a.Concat(b).ToList();
            case ("*", string text, long times): return Repeat(text, times, scope.Budget);
            case ("*", long times, string text): return Repeat(text, times, scope.Budget);
            case (_, bool or long, bool or long): return ComputeInteger((long)TemplateValues.ToDouble(left), (long)TemplateValues.ToDouble(right));
            case (_, bool or long or double, bool or long or double): return ComputeReal(TemplateValues.ToDouble(left), TemplateValues.ToDouble(right));
            default: throw new ChatTemplateException($"`{Operator}` does not go with {TemplateValues.DescribeType(left)} and {TemplateValues.DescribeType(right)}");
        }
    }

    private static string Repeat(string text, long times, RenderBudget budget)
    {
        if (times <= 0) return "";
        budget.CountOutput(checked(Math.Min(times, RenderBudget.MaxLength + 1L) * text.Length));
        return string.Concat(Enumerable.Repeat(text, (int)times));
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
                "/" => b == 0 ? throw DivisionByZero() : (double)a / b,
                "//" => b == 0 ? throw DivisionByZero() : (long)Math.Floor((double)a / b),
                "%" => b == 0 ? throw DivisionByZero() : b == -1 ? 0L : ((a % b) + b) % b,
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
        "/" => b == 0 ? throw DivisionByZero() : a / b,
        "//" => b == 0 ? throw DivisionByZero() : Math.Floor(a / b),
        "%" => b == 0 ? throw DivisionByZero() : a - b * Math.Floor(a / b),
        _ => Math.Pow(a, b),
    };

    private static ChatTemplateException DivisionByZero() => new("a number is divided by zero");
}

/// <summary>a.name: what is there by that name, a method before a dictionary's entry; a[name] the other way round.</summary>
internal sealed record AttributeExpression(TemplateExpression Target, string Field) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? of = Target.Evaluate(scope);
        if (of is UndefinedValue undefined) throw new ChatTemplateException($"'{undefined.Name}' is undefined; `.{Field}` was asked of it");
        if (of is NamespaceValue names) return names.Fields.TryGetValue(Field, out object? kept) ? kept : new UndefinedValue(Field);
        if (of is string) scope.Budget.CountRead(of);
        if (TemplateMethods.Find(of, Field, scope.Budget) is { } method) return method;
        return of is Dictionary<string, object?> map && map.TryGetValue(Field, out object? value) ? value : new UndefinedValue(Field);
    }
}

internal sealed record SubscriptExpression(TemplateExpression Target, TemplateExpression Key) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? of = Target.Evaluate(scope), at = Key.Evaluate(scope);
        switch (of, at)
        {
            case (UndefinedValue undefined, _): throw new ChatTemplateException($"'{undefined.Name}' is undefined; `[{TemplateValues.ToText(at)}]` was asked of it");
            case (Dictionary<string, object?> map, string key):
                return map.TryGetValue(key, out object? value) ? value : TemplateMethods.Find(of, key, scope.Budget) ?? (object)new UndefinedValue(key);
            case (NamespaceValue names, string key): return names.Fields.TryGetValue(key, out object? kept) ? kept : new UndefinedValue(key);
            case (List<object?> or string, long index):
                if (of is string) scope.Budget.CountRead(of);
                List<object?> items = TemplateValues.Items(of);
                if (index < 0) index += items.Count;
                return index >= 0 && index < items.Count ? items[(int)index] : new UndefinedValue(TemplateValues.ToText(at));
            default: return new UndefinedValue(TemplateValues.ToText(at));
        }
    }
}

/// <summary>a[from:to:step]</summary>
internal sealed record SliceExpression(TemplateExpression Target, TemplateExpression? Start, TemplateExpression? Stop, TemplateExpression? Step) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? of = Target.Evaluate(scope);
        if (of is not (string or List<object?>)) throw new ChatTemplateException($"{TemplateValues.DescribeType(of)} cannot be cut");
        scope.Budget.CountRead(of);
        List<object?> items = TemplateValues.Items(of);
        long step = EvaluateBound(Step, scope) ?? 1, count = items.Count;
        if (step == 0) throw new ChatTemplateException("a slice's step is zero");
        long from = Bound(EvaluateBound(Start, scope), step > 0 ? 0 : count - 1), to = Bound(EvaluateBound(Stop, scope), step > 0 ? count : -1, isEnd: true);
        List<object?> part = [];
        for (long i = from; step > 0 ? i < to : i > to; i += step) part.Add(items[(int)i]);
        scope.Budget.CountOutput(part.Count);
        return of is string ? string.Concat(part) : part;

        long Bound(long? value, long otherwise, bool isEnd = false)
        {
            if (value is not { } given) return otherwise;
            if (given < 0) given += count;
            return step > 0 ? Math.Clamp(given, 0, count) : Math.Clamp(given, -1, count - 1);
        }
    }

    private static long? EvaluateBound(TemplateExpression? bound, TemplateScope scope) => bound?.Evaluate(scope) switch
    {
        null => null,
        long whole => Math.Clamp(whole, -int.MaxValue, int.MaxValue),
        var other => throw new ChatTemplateException($"{TemplateValues.DescribeType(other)} is no place in a list"),
    };
}

/// <summary>f(a, b, name=c)</summary>
internal sealed record CallExpression(TemplateExpression Target, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => Target.Evaluate(scope) switch
    {
        TemplateFunction function => function(Arguments.EvaluatePositional(scope), Arguments.EvaluateKeywords(scope)),
        var other => throw new ChatTemplateException($"{TemplateValues.DescribeType(other)} cannot be called"),
    };
}

/// <summary>value | name(arguments)</summary>
internal sealed record FilterExpression(TemplateExpression Input, string Name, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => TemplateFilters.Apply(Name, Input.Evaluate(scope), Arguments.EvaluatePositional(scope), Arguments.EvaluateKeywords(scope), scope.Budget);
}

/// <summary>value is name(arguments)</summary>
internal sealed record TestExpression(TemplateExpression Input, string Name, CallArgumentList Arguments) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope) => TemplateTestFunctions.Evaluate(Name, Input.Evaluate(scope), Arguments.EvaluatePositional(scope));
}

internal sealed record CallArgumentList(IReadOnlyList<TemplateExpression> PositionalArguments, IReadOnlyList<(string Name, TemplateExpression Value)> KeywordArguments)
{
    public static readonly CallArgumentList None = new([], []);

    public List<object?> EvaluatePositional(TemplateScope scope) => PositionalArguments.Count == 0 ? [] : [.. PositionalArguments.Select(a => a.Evaluate(scope))];

    public Dictionary<string, object?> EvaluateKeywords(TemplateScope scope) => KeywordArguments.ToDictionary(a => a.Name, a => a.Value.Evaluate(scope), StringComparer.Ordinal);
}
