namespace Ndif.Protocol.Ops;

/// <summary>Assigns the arguments of a call to the parameters of its schema, as Python does, and fills in the defaults.</summary>
public static class ArgumentBinder
{
    /// <summary>Binds values. A node that is not computed yet is an object of any other type.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static object?[] Bind(
        OpSchema schema, IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?>? keywords = null) =>
        Bind(schema, positional, keywords ?? (IEnumerable<KeyValuePair<string, object?>>)[], ClrArgumentAccessor.Instance);

    /// <summary>Binds the call of a program to the row of its operation.</summary>
    /// <inheritdoc cref="Bind{T}"/>
    public static Argument[] Bind(Call call) => Bind(OpTable.Get(call.Op), call.Arguments, call.Keywords, ProtoArgumentAccessor.Instance);

    /// <summary>Binds arguments in one of their representations.</summary>
    /// <returns>One argument for each parameter of the schema.</returns>
    /// <exception cref="BadProgramException">
    /// BAD_ARGUMENT: there are too many arguments, or one is missing, passed twice, unknown, or of a type that cannot fit.
    /// </exception>
    public static T[] Bind<T>(
        OpSchema schema, IReadOnlyList<T> positional, IEnumerable<KeyValuePair<string, T>> keywords, IArgumentAccessor<T> accessor)
    {
        IReadOnlyList<OpParameter> parameters = schema.Parameters;
        var bound = new T[parameters.Count];
        var isBound = new bool[parameters.Count];
        int maxPositional = parameters.Count(p => !p.KeywordOnly);
        if (positional.Count > maxPositional)
            throw BadArgument(schema, $"{schema.Name}() takes {Pluralize(maxPositional, "positional argument")} but {positional.Count} "
                + $"{(positional.Count == 1 ? "was" : "were")} given.");
        for (int i = 0; i < positional.Count; i++) BindAt(i, positional[i]);
        foreach ((string name, T argument) in keywords)
        {
            int position = PositionOf(schema, name);
            if (position < 0)
                throw BadArgument(schema, $"{schema.Name}() got an unexpected keyword argument `{name}`.",
                    Errors.DidYouMean(name, parameters.Select(p => p.Name)));
            if (isBound[position]) throw BadArgument(schema, $"{schema.Name}() got multiple values for its argument `{name}`.");
            BindAt(position, argument);
        }
        for (int i = 0; i < bound.Length; i++)
        {
            if (isBound[i]) continue;
            if (!parameters[i].HasDefault)
                throw BadArgument(schema, $"{schema.Name}() misses its argument `{parameters[i].Name}` (position {i + 1}).");
            bound[i] = accessor.FromDefault(parameters[i].Default);
        }
        return bound;

        void BindAt(int position, T argument)
        {
            CheckType(schema, position, argument, accessor);
            (bound[position], isBound[position]) = (argument, true);
        }
    }

    /// <summary>PyTorch names the first argument of a function `input` and that of a method `self`: both are accepted.</summary>
    private static int PositionOf(OpSchema schema, string name) =>
        schema.IndexOf(name) is >= 0 and int position ? position : name == "input" ? schema.IndexOf("self") : -1;

    private static void CheckType<T>(OpSchema schema, int position, T argument, IArgumentAccessor<T> accessor)
    {
        OpParameter parameter = schema.Parameters[position];
        ArgumentKind kind = accessor.KindOf(argument);
        bool fits = kind == ArgumentKind.None
            ? parameter.Optional || parameter.Type is OpType.Any or OpType.Index
            : kind.Fits(parameter.Type);
        if (!fits) throw BadArgument(schema, $"{Requirement()}, not {kind.PythonName()}.");
        if (kind != ArgumentKind.List) return;
        OpType? elementType = parameter.Type switch
        {
            OpType.Ints => OpType.Int,
            OpType.Floats => OpType.Float,
            OpType.Tensors => OpType.Tensor,
            _ => null,
        };
        if (elementType is not { } expected) return;
        int index = 0;
        foreach (T item in accessor.Items(argument))
        {
            ArgumentKind itemKind = accessor.KindOf(item);
            if (itemKind == ArgumentKind.None || !itemKind.Fits(expected))
                throw BadArgument(schema, $"{Requirement()}, but its element {index} is {itemKind.PythonName()}.");
            index++;
        }

        string Requirement() =>
            $"{schema.Name}(): argument '{parameter.Name}' (position {position + 1}) must be {parameter.Type.SchemaName()}";
    }

    private static string Pluralize(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    private static Exception BadArgument(OpSchema schema, string message, string hint = "") =>
        Errors.CreateException(ErrorCode.BadArgument, message, $"{hint} {schema.Text}".Trim());
}
