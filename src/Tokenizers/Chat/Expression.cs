namespace Ndif.Tokenizers.Chat;

/// <summary>Something that has a value.</summary>
internal abstract record Expression
{
    public object? Value(Scope scope)
    {
        scope.Budget.Step();
        return Compute(scope);
    }

    protected abstract object? Compute(Scope scope);

    public string Text(Scope scope) => Values.Text(Value(scope));

    public bool IsTrue(Scope scope) => Values.IsTrue(Value(scope));
}

internal sealed record Constant(object? Content) : Expression
{
    protected override object? Compute(Scope scope) => Content;
}

internal sealed record Name(string Word) : Expression
{
    protected override object? Compute(Scope scope) => scope.Get(Word);
}

internal sealed record ListOf(IReadOnlyList<Expression> Items, bool IsTuple = false) : Expression
{
    protected override object? Compute(Scope scope) => IsTuple ? new Tuple(Items.Select(item => item.Value(scope))) : Items.Select(item => item.Value(scope)).ToList();
}

internal sealed record MapOf(IReadOnlyList<(Expression Key, Expression Value)> Entries) : Expression
{
    protected override object? Compute(Scope scope)
    {
        Dictionary<string, object?> map = new(StringComparer.Ordinal);
        foreach (var (key, value) in Entries) map[key.Value(scope) as string ?? throw new ChatTemplateException("a dictionary's keys must be texts")] = value.Value(scope);
        return map;
    }
}

/// <summary>a if condition else b</summary>
internal sealed record Choice(Expression Condition, Expression Then, Expression? Else) : Expression
{
    protected override object? Compute(Scope scope) => Condition.IsTrue(scope) ? Then.Value(scope) : Else is null ? new Undefined("") : Else.Value(scope);
}

internal sealed record Not(Expression Of) : Expression
{
    protected override object? Compute(Scope scope) => !Of.IsTrue(scope);
}

internal sealed record Negative(Expression Of) : Expression
{
    protected override object? Compute(Scope scope) => Of.Value(scope) switch
    {
        long whole => (object)-whole,
        double real => -real,
        var other => throw new ChatTemplateException($"{Values.Kind(other)} has no negative"),
    };
}

/// <summary>and, or: the last value that was looked at.</summary>
internal sealed record Both(bool IsAnd, Expression Left, Expression Right) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? left = Left.Value(scope);
        return Values.IsTrue(left) == IsAnd ? Right.Value(scope) : left;
    }
}

/// <summary>a &lt; b, a &lt; b &lt; c, ...</summary>
internal sealed record Comparison(Expression First, IReadOnlyList<(string Operator, Expression With)> Rest) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? left = First.Value(scope);
        foreach (var (op, with) in Rest)
        {
            object? right = with.Value(scope);
            scope.Budget.Read(right);
            bool holds = op switch
            {
                "==" => Values.Equals(left, right),
                "!=" => !Values.Equals(left, right),
                "in" => Values.Contains(right, left),
                "not in" => !Values.Contains(right, left),
                "<" => Values.Compare(left, right) < 0,
                "<=" => Values.Compare(left, right) <= 0,
                ">" => Values.Compare(left, right) > 0,
                _ => Values.Compare(left, right) >= 0,
            };
            if (!holds) return false;
            left = right;
        }
        return true;
    }
}

internal sealed record Arithmetic(string Operator, Expression Left, Expression Right) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? left = Left.Value(scope), right = Right.Value(scope);
        switch (Operator, left, right)
        {
            case ("~", _, _): return scope.Budget.Make(Values.Text(left) + Values.Text(right));
            case ("+", string a, string b): return scope.Budget.Make(a + b);
            case ("+", List<object?> a, List<object?> b):
                scope.Budget.Make(a.Count + b.Count);
                return a.Concat(b).ToList();
            case ("*", string text, long times): return Repeated(text, times, scope.Budget);
            case ("*", long times, string text): return Repeated(text, times, scope.Budget);
            case (_, bool or long, bool or long): return Whole((long)Values.Number(left), (long)Values.Number(right));
            case (_, bool or long or double, bool or long or double): return Real(Values.Number(left), Values.Number(right));
            default: throw new ChatTemplateException($"`{Operator}` does not go with {Values.Kind(left)} and {Values.Kind(right)}");
        }
    }

    private static string Repeated(string text, long times, Budget budget)
    {
        if (times <= 0) return "";
        budget.Make(checked(Math.Min(times, Budget.Length + 1L) * text.Length));
        return string.Concat(Enumerable.Repeat(text, (int)times));
    }

    private object Whole(long a, long b)
    {
        try
        {
            return checked(Operator switch
            {
                "+" => (object)(a + b),
                "-" => a - b,
                "*" => a * b,
                "/" => b == 0 ? throw Zero() : (double)a / b,
                "//" => b == 0 ? throw Zero() : (long)Math.Floor((double)a / b),
                "%" => b == 0 ? throw Zero() : b == -1 ? 0L : ((a % b) + b) % b,
                _ => Math.Pow(a, b) is var power && b >= 0 && Math.Abs(power) < 9e15 ? (long)power : (object)power,
            });
        }
        catch (OverflowException e)
        {
            throw new ChatTemplateException("a number is too large", e);
        }
    }

    private double Real(double a, double b) => Operator switch
    {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => b == 0 ? throw Zero() : a / b,
        "//" => b == 0 ? throw Zero() : Math.Floor(a / b),
        "%" => b == 0 ? throw Zero() : a - b * Math.Floor(a / b),
        _ => Math.Pow(a, b),
    };

    private static ChatTemplateException Zero() => new("a number is divided by zero");
}

/// <summary>a.name: what is there by that name, a method before a dictionary's entry; a[name] the other way round.</summary>
internal sealed record Member(Expression Of, string Field) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? of = Of.Value(scope);
        if (of is Undefined undefined) throw new ChatTemplateException($"'{undefined.Name}' is undefined; `.{Field}` was asked of it");
        if (of is Namespace names) return names.Fields.TryGetValue(Field, out object? kept) ? kept : new Undefined(Field);
        if (of is string) scope.Budget.Read(of);
        if (Methods.Find(of, Field, scope.Budget) is { } method) return method;
        return of is Dictionary<string, object?> map && map.TryGetValue(Field, out object? value) ? value : new Undefined(Field);
    }
}

internal sealed record Index(Expression Of, Expression At) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? of = Of.Value(scope), at = At.Value(scope);
        switch (of, at)
        {
            case (Undefined undefined, _): throw new ChatTemplateException($"'{undefined.Name}' is undefined; `[{Values.Text(at)}]` was asked of it");
            case (Dictionary<string, object?> map, string key):
                return map.TryGetValue(key, out object? value) ? value : Methods.Find(of, key, scope.Budget) ?? (object)new Undefined(key);
            case (Namespace names, string key): return names.Fields.TryGetValue(key, out object? kept) ? kept : new Undefined(key);
            case (List<object?> or string, long index):
                if (of is string) scope.Budget.Read(of);
                List<object?> items = Values.Items(of);
                if (index < 0) index += items.Count;
                return index >= 0 && index < items.Count ? items[(int)index] : new Undefined(Values.Text(at));
            default: return new Undefined(Values.Text(at));
        }
    }
}

/// <summary>a[from:to:step]</summary>
internal sealed record Slice(Expression Of, Expression? From, Expression? To, Expression? Step) : Expression
{
    protected override object? Compute(Scope scope)
    {
        object? of = Of.Value(scope);
        if (of is not (string or List<object?>)) throw new ChatTemplateException($"{Values.Kind(of)} cannot be cut");
        scope.Budget.Read(of);
        List<object?> items = Values.Items(of);
        long step = Number(Step, scope) ?? 1, count = items.Count;
        if (step == 0) throw new ChatTemplateException("a slice's step is zero");
        long from = Bound(Number(From, scope), step > 0 ? 0 : count - 1), to = Bound(Number(To, scope), step > 0 ? count : -1, isEnd: true);
        List<object?> part = [];
        for (long i = from; step > 0 ? i < to : i > to; i += step) part.Add(items[(int)i]);
        scope.Budget.Make(part.Count);
        return of is string ? string.Concat(part) : part;

        long Bound(long? value, long otherwise, bool isEnd = false)
        {
            if (value is not { } given) return otherwise;
            if (given < 0) given += count;
            return step > 0 ? Math.Clamp(given, 0, count) : Math.Clamp(given, -1, count - 1);
        }
    }

    private static long? Number(Expression? bound, Scope scope) => bound?.Value(scope) switch
    {
        null => null,
        long whole => Math.Clamp(whole, -int.MaxValue, int.MaxValue),
        var other => throw new ChatTemplateException($"{Values.Kind(other)} is no place in a list"),
    };
}

/// <summary>f(a, b, name=c)</summary>
internal sealed record Call(Expression Of, Arguments Arguments) : Expression
{
    protected override object? Compute(Scope scope) => Of.Value(scope) switch
    {
        Function function => function(Arguments.Positional(scope), Arguments.Keywords(scope)),
        var other => throw new ChatTemplateException($"{Values.Kind(other)} cannot be called"),
    };
}

/// <summary>value | name(arguments)</summary>
internal sealed record Filtered(Expression Of, string Name, Arguments Arguments) : Expression
{
    protected override object? Compute(Scope scope) => Filters.Apply(Name, Of.Value(scope), Arguments.Positional(scope), Arguments.Keywords(scope), scope.Budget);
}

/// <summary>value is name(arguments)</summary>
internal sealed record Tested(Expression Of, string Name, Arguments Arguments) : Expression
{
    protected override object? Compute(Scope scope) => Tests.Holds(Name, Of.Value(scope), Arguments.Positional(scope));
}

internal sealed record Arguments(IReadOnlyList<Expression> Plain, IReadOnlyList<(string Name, Expression Value)> Named)
{
    public static readonly Arguments None = new([], []);

    public List<object?> Positional(Scope scope) => Plain.Count == 0 ? [] : [.. Plain.Select(a => a.Value(scope))];

    public Dictionary<string, object?> Keywords(Scope scope) => Named.ToDictionary(a => a.Name, a => a.Value.Value(scope), StringComparer.Ordinal);
}
