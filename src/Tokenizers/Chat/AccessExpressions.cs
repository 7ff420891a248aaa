namespace Ndif.Tokenizers.Chat;

/// <summary>
/// <c>a.name</c>. A method takes precedence over a dictionary entry of the same name. For <c>a["name"]</c> it is the reverse.
/// </summary>
/// <remarks>jinja2/environment.py, getattr</remarks>
internal sealed record AttributeExpression(TemplateExpression Target, string Field) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? target = Target.Evaluate(scope);
        switch (target)
        {
            case UndefinedValue undefined:
                throw new ChatTemplateException($"'{undefined.Name}' is undefined, so it has no attribute '{Field}'");
            case NamespaceValue space:
                return space.Fields.TryGetValue(Field, out object? field) ? field : new UndefinedValue(Field);
            case string:
                scope.Budget.CountRead(target);
                break;
        }
        if (TemplateMethods.Find(target, Field, scope.Budget) is { } method) return method;
        return target is Dictionary<string, object?> map && map.TryGetValue(Field, out object? value) ? value : new UndefinedValue(Field);
    }
}

/// <summary><c>a[key]</c></summary>
/// <remarks>jinja2/environment.py, getitem</remarks>
internal sealed record SubscriptExpression(TemplateExpression Target, TemplateExpression Key) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? target = Target.Evaluate(scope), key = Key.Evaluate(scope);
        switch (target, key)
        {
            case (UndefinedValue undefined, _):
                throw new ChatTemplateException(
                    $"'{undefined.Name}' is undefined, so it has no item [{TemplateValueFormatter.ToText(key)}]");
            case (Dictionary<string, object?> map, string name):
                return map.TryGetValue(name, out object? value) ? value
                    : TemplateMethods.Find(target, name, scope.Budget) ?? (object)new UndefinedValue(name);
            case (NamespaceValue space, string name):
                return space.Fields.TryGetValue(name, out object? field) ? field : new UndefinedValue(name);
            case (List<object?> or string, long index):
                if (target is string) scope.Budget.CountRead(target);
                List<object?> items = TemplateValues.Items(target);
                if (index < 0) index += items.Count;
                return index >= 0 && index < items.Count ? items[(int)index] : new UndefinedValue(TemplateValueFormatter.ToText(key));
            default:
                return new UndefinedValue(TemplateValueFormatter.ToText(key));
        }
    }
}

/// <summary><c>a[start:stop:step]</c></summary>
internal sealed record SliceExpression(
    TemplateExpression Target, TemplateExpression? Start, TemplateExpression? Stop, TemplateExpression? Step) : TemplateExpression
{
    protected override object? EvaluateCore(TemplateScope scope)
    {
        object? target = Target.Evaluate(scope);
        if (target is not (string or List<object?>))
            throw new ChatTemplateException($"{TemplateValues.DescribeType(target)} cannot be sliced");
        scope.Budget.CountRead(target);
        List<object?> items = TemplateValues.Items(target);
        long step = EvaluateBound(Step, scope) ?? 1, count = items.Count;
        if (step == 0) throw new ChatTemplateException("the step of a slice must not be zero");
        long start = Normalize(EvaluateBound(Start, scope), step > 0 ? 0 : count - 1);
        long stop = Normalize(EvaluateBound(Stop, scope), step > 0 ? count : -1);
        List<object?> slice = [];
        for (long i = start; step > 0 ? i < stop : i > stop; i += step) slice.Add(items[(int)i]);
        scope.Budget.CountOutput(slice.Count);
        return target is string ? string.Concat(slice) : slice;

        // A negative bound counts from the end, and a bound outside of the list is moved to its end (Python's slice.indices).
        long Normalize(long? bound, long defaultBound)
        {
            if (bound is not { } index) return defaultBound;
            if (index < 0) index += count;
            return step > 0 ? Math.Clamp(index, 0, count) : Math.Clamp(index, -1, count - 1);
        }
    }

    private static long? EvaluateBound(TemplateExpression? bound, TemplateScope scope) => bound?.Evaluate(scope) switch
    {
        null => null,
        long integer => Math.Clamp(integer, -int.MaxValue, int.MaxValue),
        var other => throw new ChatTemplateException(
            $"a bound of a slice must be a whole number, not {TemplateValues.DescribeType(other)}"),
    };
}
