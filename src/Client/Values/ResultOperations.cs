using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// Operations on results outside of a trace, which <see cref="TensorData"/> computes: after the run, <c>a - b</c> of two
/// <see cref="Saved"/> is their difference. What <see cref="TensorData"/> cannot do is an error that says what to do instead.
/// </summary>
internal static class ResultOperations
{
    private static readonly Dictionary<string, Func<Arguments, object?>> _operations = new()
    {
        ["add"] = a => a.Operand("self", "other") + a.Operand("other", "self"),
        ["sub"] = a => a.Operand("self", "other") - a.Operand("other", "self"),
        ["mul"] = a => a.Operand("self", "other") * a.Operand("other", "self"),
        ["div"] = a => a.Operand("self", "other") / a.Operand("other", "self"),
        ["pow"] = a => a.Self.Pow(a.Number("exponent")),
        ["neg"] = a => -a.Self,
        ["abs"] = a => a.Self.Abs(),
        ["exp"] = a => a.Self.Exp(),
        ["log"] = a => a.Self.Log(),
        ["sqrt"] = a => a.Self.Sqrt(),
        ["sum"] = a => a.Self.Sum(a.Dims(), a.Keepdim),
        ["mean"] = a => a.Self.Mean(a.Dims(), a.Keepdim),
        ["var"] = a => a.Self.Var(a.Dims(), a.Number("correction"), a.Keepdim),
        ["std"] = a => a.Self.Std(a.Dims(), a.Number("correction"), a.Keepdim),
        ["norm"] = a => a.Self.Norm(a.Number("p"), a.Dims(), a.Keepdim),
        ["amax"] = a => a.Self.Amax(a.Dims(), a.Keepdim),
        ["amin"] = a => a.Self.Amin(a.Dims(), a.Keepdim),
        ["max"] = a => a.Dim is { } dim ? Pair(a.Self.Max(dim, a.Keepdim)) : a.Self.Max(),
        ["min"] = a => a.Dim is { } dim ? Pair(a.Self.Min(dim, a.Keepdim)) : a.Self.Min(),
        ["argmax"] = a => a.Self.ArgMax(a.Dim, a.Keepdim),
        ["argmin"] = a => a.Self.ArgMin(a.Dim, a.Keepdim),
        ["logsumexp"] = a => a.Self.LogSumExp(a.Dims()!, a.Keepdim),
        ["softmax"] = a => a.Self.Softmax(a.Dim!.Value),
        ["log_softmax"] = a => a.Self.LogSoftmax(a.Dim!.Value),
        ["cumsum"] = a => a.Self.CumSum(a.Dim!.Value),
        ["topk"] = a => Pair(a.Self.TopK(a.Int("k"), a.Dim!.Value, a.Flag("largest"))),
        ["matmul"] = a => a.Self.MatMul(a.Tensor("other")),
        ["transpose"] = a => a.Self.Transpose(a.Int("dim0"), a.Int("dim1")),
        ["permute"] = a => a.Self.Permute(a.Ints("dims")!),
        ["t"] = a => a.Self.T(),
        ["mT"] = a => a.Self.Transpose(-2, -1),
        ["squeeze"] = a => a.Self.Squeeze(a.Dims()),
        ["unsqueeze"] = a => a.Self.Unsqueeze(a.Dim!.Value),
        ["flatten"] = a => a.Self.Flatten(a.Int("start_dim"), a.Int("end_dim")),
        ["reshape"] = a => a.Self.Reshape([.. a.Ints("shape")!.Select(size => (long)size)]),
        ["view"] = a => a.Self.Reshape([.. a.Ints("size")!.Select(size => (long)size)]),
        ["to"] = a => a.Self.To(a.Get("dtype") is DType type ? type : throw Unsupported("to", " without `dtype`")),
    };

    /// <summary>Whether the operation is outside of any trace, and all its values are known.</summary>
    public static bool Applies(object?[] arguments) => Recorder.Ambient is null
        && arguments.OfType<Saved>().Any(saved => saved.HasValue)
        && arguments.OfType<Value>().All(value => value is Saved { HasValue: true } or ConstantValue);

    /// <summary>The result of an operation on results.</summary>
    /// <exception cref="InvalidOperationException">
    /// <see cref="TensorData"/> does not have the operation, or not with these arguments.
    /// </exception>
    public static Saved Compute(string op, object?[] arguments, ReadOnlySpan<(string Name, object? Value)> keywords)
    {
        var call = new Arguments(OpTable.Get(op), arguments, keywords);
        if (!_operations.TryGetValue(op, out var compute)) throw Unsupported(op, "");
        object? result = compute(call);
        return call.Unused is { } unused ? throw Unsupported(op, $" with `{unused}`") : new Saved(result);
    }

    /// <summary>The error for what can only be done in a trace.</summary>
    public static InvalidOperationException Unsupported(string what, string how) => new(
        $"`{what}`{how} cannot be computed on a result outside of a trace. `saved.Tensor` is a TensorData, which has arithmetic, "
        + "reductions, Softmax, TopK, MatMul and others. In another trace, the result is a constant on which every operation can be "
        + "recorded.");

    private static object?[] Pair((TensorData Values, TensorData Indices) pair) => [pair.Values, pair.Indices];

    /// <summary>The arguments of a call by the names of the op table, and which of them were used.</summary>
    private sealed class Arguments
    {
        private readonly OpSchema _schema;
        private readonly Dictionary<string, object?> _given = [];
        private readonly HashSet<string> _used = [];

        public Arguments(OpSchema schema, object?[] positional, ReadOnlySpan<(string Name, object? Value)> keywords)
        {
            _schema = schema;
            for (int i = 0; i < positional.Length; i++) _given[schema.Parameters[i].Name] = positional[i];
            foreach (var (name, value) in keywords)
                if (value is not null) _given[name] = value;
        }

        /// <summary>An argument that was given and that nothing has looked at; null if there is none.</summary>
        public string? Unused => _given.Keys.FirstOrDefault(name => !_used.Contains(name));

        public TensorData Self => Tensor("self");

        public bool Keepdim => Flag("keepdim");

        /// <summary>The only dimension; null if none was given.</summary>
        public int? Dim => Get("dim") is { } dim ? checked((int)Convert.ToInt64(dim, null)) : null;

        /// <summary>What a program would send: a number, flag, type, tensor or list; the default for what was not given.</summary>
        public object? Get(string name)
        {
            _used.Add(name);
            object? value = _given.TryGetValue(name, out object? given) ? given : _schema.Parameters[_schema.IndexOf(name)].Default;
            return value switch
            {
                Saved saved => saved.Result,
                Value constant => constant.AsArgument(),
                int number => (long)number,
                Ndif.Ints numbers => numbers.ToArray(),
                _ => value,
            };
        }

        public TensorData Tensor(string name) => Get(name) is { } value ? new Saved(value).Tensor
            : throw Unsupported(_schema.Name, $" without `{name}`");

        /// <summary>An operand; a number has the type that leaves that of the other operand as it is, where it can.</summary>
        public TensorData Operand(string name, string other)
        {
            TensorData operand = Tensor(name);
            return (Get(name), Get(other)) switch
            {
                (double, TensorData tensor) => operand.To(tensor.Type.IsFloatingPoint() ? tensor.Type : DType.Float32),
                (long, TensorData tensor) => operand.To(tensor.Type is DType.Bool ? DType.Int64 : tensor.Type),
                _ => operand,
            };
        }

        public double Number(string name) => Convert.ToDouble(Get(name) is TensorData tensor ? tensor.Item<double>() : Get(name), null);

        public int Int(string name) => checked((int)Convert.ToInt64(Get(name), null));

        public bool Flag(string name) => Get(name) is true;

        public int[]? Ints(string name) => Get(name) switch
        {
            null => null,
            Value[] numbers => [.. numbers.Select(number => checked((int)new Saved(number.AsArgument()).Item<long>()))],
            long[] numbers => [.. numbers.Select(number => checked((int)number))],
            var number => [checked((int)Convert.ToInt64(number, null))],
        };

        public Dims? Dims() => Ints("dim") is { } dims ? dims : (Dims?)null;
    }
}
