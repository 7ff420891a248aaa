namespace Ndif.Protocol.Ops;

/// <summary>Puts the arguments of a call at the positions of its schema, as Python does, with the defaults filled in.</summary>
public static class ArgumentBinder
{
    /// <summary>Binds values; a node that is not computed yet may stand in as any object of an unknown type.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static object?[] Bind(OpSchema schema, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?>? keywords = null) =>
        Bind(schema, positional, keywords ?? (IEnumerable<KeyValuePair<string, object?>>)[], ClrArgumentAccessor.Instance);

    /// <summary>Binds a call on the wire to the row of its operation.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static Argument[] Bind(Call call) => Bind(OpTable.Get(call.Op), call.Arguments, call.Keywords, ProtoArgumentAccessor.Instance);

    /// <returns>One argument for each parameter of the schema.</returns>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: too many, missing, twice, unknown, or of a type that can never fit.</exception>
    public static T[] Bind<T>(OpSchema schema, IReadOnlyList<T> positional, IEnumerable<KeyValuePair<string, T>> keywords, IArgumentAccessor<T> accessor)
    {
        IReadOnlyList<OpParameter> parameters = schema.Parameters;
        var bound = new T[parameters.Count];
        var given = new bool[parameters.Count];
        int most = parameters.Count(p => !p.KeywordOnly);
        if (positional.Count > most)
            throw BadArgument(schema, $"{schema.Name}() takes {Pluralize(most, "positional argument")} but {positional.Count} {(positional.Count == 1 ? "was" : "were")} given.");
        for (int i = 0; i < positional.Count; i++) Put(i, positional[i]);
        foreach ((string name, T argument) in keywords)
        {
            int position = PositionOf(schema, name);
            if (position < 0)
                throw BadArgument(schema, $"{schema.Name}() got an unexpected keyword argument `{name}`.", Errors.DidYouMean(name, parameters.Select(p => p.Name)));
            if (given[position]) throw BadArgument(schema, $"{schema.Name}() got multiple values for its argument `{name}`.");
            Put(position, argument);
        }
        for (int i = 0; i < bound.Length; i++)
        {
            if (given[i]) continue;
            if (!parameters[i].HasDefault)
                throw BadArgument(schema, $"{schema.Name}() misses its argument `{parameters[i].Name}` (position {i + 1}).");
            bound[i] = accessor.FromDefault(parameters[i].Default);
        }
        return bound;

        void Put(int position, T argument)
        {
            CheckType(schema, position, argument, accessor);
            (bound[position], given[position]) = (argument, true);
        }
    }

    /// <summary>Python's torch calls the first argument of a function `input`, that of a method `self`: both are taken.</summary>
    private static int PositionOf(OpSchema schema, string name) =>
        schema.IndexOf(name) is >= 0 and int position ? position : name == "input" ? schema.IndexOf("self") : -1;

    private static void CheckType<T>(OpSchema schema, int position, T argument, IArgumentAccessor<T> accessor)
    {
        OpParameter parameter = schema.Parameters[position];
        ArgumentKind kind = accessor.KindOf(argument);
        bool fits = kind == ArgumentKind.None ? parameter.Optional || parameter.Type is OpType.Any or OpType.Index : kind.Fits(parameter.Type);
        if (!fits)
            throw BadArgument(schema, $"{schema.Name}(): argument '{parameter.Name}' (position {position + 1}) must be {parameter.Type.SchemaName()}, not {kind.PythonName()}.");
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
        foreach (T item in accessor.Items(argument))
        {
            ArgumentKind found = accessor.KindOf(item);
            if (found == ArgumentKind.None || !found.Fits(wanted))
                throw BadArgument(schema, $"{schema.Name}(): argument '{parameter.Name}' (position {position + 1}) must be {parameter.Type.SchemaName()}, but its element {index} is {found.PythonName()}.");
            index++;
        }
    }

    private static string Pluralize(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    private static Exception BadArgument(OpSchema schema, string message, string hint = "") =>
        Errors.CreateException(ErrorCode.BadArgument, message, $"{hint} {schema.Text}".Trim());
}
