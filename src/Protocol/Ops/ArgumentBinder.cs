namespace Ndif.Protocol;

/// <summary>Puts the arguments of a call at the positions of its schema, as Python does, with the defaults filled in.</summary>
public static class ArgumentBinder
{
    /// <summary>Binds values; a node that is not computed yet may stand in as any object of an unknown type.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static object?[] Bind(OpSchema schema, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?>? keywords = null) =>
        Bind(schema, positional, keywords ?? (IEnumerable<KeyValuePair<string, object?>>)[], ValueForm.Instance);

    /// <summary>Binds a call on the wire to the row of its operation.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static Argument[] Bind(Call call) => Bind(OpTable.Get(call.Op), call.Arguments, call.Keywords, WireForm.Instance);

    /// <returns>One argument for each parameter of the schema.</returns>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: too many, missing, twice, unknown, or of a type that can never fit.</exception>
    public static T[] Bind<T>(OpSchema schema, IReadOnlyList<T> positional, IEnumerable<KeyValuePair<string, T>> keywords, IArgumentForm<T> form)
    {
        IReadOnlyList<OpParameter> parameters = schema.Parameters;
        var bound = new T[parameters.Count];
        var given = new bool[parameters.Count];
        int most = parameters.Count(p => !p.KeywordOnly);
        if (positional.Count > most)
            throw Bad(schema, $"{schema.Name}() takes {Count(most, "positional argument")} but {positional.Count} {(positional.Count == 1 ? "was" : "were")} given.");
        for (int i = 0; i < positional.Count; i++) Put(i, positional[i]);
        foreach ((string name, T argument) in keywords)
        {
            int position = PositionOf(schema, name);
            if (position < 0)
                throw Bad(schema, $"{schema.Name}() got an unexpected keyword argument `{name}`.", Errors.DidYouMean(name, parameters.Select(p => p.Name)));
            if (given[position]) throw Bad(schema, $"{schema.Name}() got multiple values for its argument `{name}`.");
            Put(position, argument);
        }
        for (int i = 0; i < bound.Length; i++)
        {
            if (given[i]) continue;
            if (!parameters[i].HasDefault)
                throw Bad(schema, $"{schema.Name}() misses its argument `{parameters[i].Name}` (position {i + 1}).");
            bound[i] = form.Constant(parameters[i].Default);
        }
        return bound;

        void Put(int position, T argument)
        {
            Check(schema, position, argument, form);
            (bound[position], given[position]) = (argument, true);
        }
    }

    /// <summary>Python's torch calls the first argument of a function `input`, that of a method `self`: both are taken.</summary>
    private static int PositionOf(OpSchema schema, string name) =>
        schema.IndexOf(name) is >= 0 and int position ? position : name == "input" ? schema.IndexOf("self") : -1;

    private static void Check<T>(OpSchema schema, int position, T argument, IArgumentForm<T> form)
    {
        OpParameter parameter = schema.Parameters[position];
        ArgumentKind kind = form.KindOf(argument);
        bool fits = kind == ArgumentKind.None ? parameter.Optional || parameter.Type is OpType.Any or OpType.Index : kind.Fits(parameter.Type);
        if (!fits)
            throw Bad(schema, $"{schema.Name}(): argument '{parameter.Name}' (position {position + 1}) must be {parameter.Type.SchemaName()}, not {kind.PythonName()}.");
        if (kind != ArgumentKind.List) return;
        OpType? element = parameter.Type switch
        {
            OpType.Ints => OpType.Int,
            OpType.Floats => OpType.Float,
            OpType.Tensors => OpType.Tensor,
            _ => null,
        };
        if (element is not { } wanted) return;
        int index = 0;
        foreach (T item in form.Items(argument))
        {
            ArgumentKind found = form.KindOf(item);
            if (found == ArgumentKind.None || !found.Fits(wanted))
                throw Bad(schema, $"{schema.Name}(): argument '{parameter.Name}' (position {position + 1}) must be {parameter.Type.SchemaName()}, but its element {index} is {found.PythonName()}.");
            index++;
        }
    }

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    private static Exception Bad(OpSchema schema, string message, string hint = "") =>
        Errors.Throwable(ErrorCode.BadArgument, message, $"{hint} {schema.Text}".Trim());
}
