using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Tests.Fuzz;

/// <summary>
/// Generates programs of one operation of the op table on tensors whose sizes, element types and counts are at their limits: large ones,
/// expanded ones, empty ones. A quarter of them record a graph, and run a backward pass from the sum of the result.
/// </summary>
internal sealed class HostilePrograms(int seed)
{
    private readonly Random _random = new(seed);
    private readonly OpSchema[] _rows = [.. OpTable.Rows.Values.Where(row => row.Name is not "requires_grad_").OrderBy(row => row.Name)];
    private Program _program = new();
    private bool _hasGradient;

    private static readonly long[] _sizes =
        [0, 1, 1, 2, 3, 7, 64, 100, 1000, 1000, 4096, 20_000, 100_000, 1_000_000, 30_000_000, 300_000_000];

    private static readonly long[] _counts =
        [0, 1, 1, 2, 2, 3, 7, -1, -1, -2, 65, 1000, 100_000, 1_000_000, 1_000_000_000, int.MaxValue, int.MinValue, 1L << 40, long.MaxValue,
            1_000_000_000_000_000];

    private static readonly DataType[] _types =
        [DataType.Float32, DataType.Float32, DataType.Float32, DataType.Int64, DataType.Bool, DataType.Uint8, DataType.Float64,
            DataType.Bfloat16, DataType.Float16, DataType.Int32];

    private static readonly string[] _texts =
        ["mean", "sum", "none", "floor", "trunc", "tanh", "constant", "reflect", "replicate", "circular", "L", "complete", "reduced", "fro",
            "nuc", "ij,jk->ik", "ij,kj->ik", "ij,kl->ijkl", "i,j->ij", "bij,bjk->bik", "...i,...i->..."];

    /// <summary>What the program does, for a failure.</summary>
    public string Description { get; private set; } = "";

    public Program Next(ModelRef model)
    {
        _program = new Program { Version = ProgramFormat.Version, Model = model, Regions = { new Region() } };
        Description = "";
        _hasGradient = _random.Next(4) == 0;
        OpSchema schema = _rows[_random.Next(_rows.Length)];
        bool isMatrix = schema.Name.StartsWith("linalg", StringComparison.Ordinal) || schema.Name is "matrix_exp" or "matmul" or "mm";
        int rank = isMatrix ? 2 : _random.Next(1, 5);
        // often tensors of the same sizes, with which an operation gets further than to its checks
        long[] shape = [.. Enumerable.Range(0, rank).Select(_ => Pick(_sizes))];
        if (isMatrix && _random.Next(2) == 0) shape[1] = shape[0];
        bool sameType = _random.Next(3) != 0;
        DataType type = Pick(_types);
        var call = new Call { Op = schema.Name };
        foreach (OpParameter parameter in schema.Parameters)
        {
            Argument argument = parameter.HasDefault && _random.Next(3) != 0 ? ProtoArgumentAccessor.Instance.FromDefault(parameter.Default)
                : ArgumentFor(parameter, schema, shape, sameType ? type : Pick(_types));
            if (parameter.KeywordOnly) call.Keywords.Add(parameter.Name, argument);
            else call.Arguments.Add(argument);
        }
        uint result = Add(call);
        Description += $"\n{call}";
        if (_hasGradient && schema.Returns == 1)
        {
            uint sum = Add(new Call { Op = "sum", Arguments = { new Argument { Node = result } } });
            _program.Regions.Add(new Region());
            AddToRegion(new Node
            {
                Backward = new Backward { Loss = new Argument { Node = sum }, Region = (uint)_program.Regions.Count - 1 },
            });
            Description += " backward";
        }
        if (_random.Next(4) == 0)
        {
            var save = new Save { Name = "result", Value = new Argument { Node = result } };
            AddToRegion(new Node { Save = save });
        }
        return _program;
    }

    private Argument ArgumentFor(OpParameter parameter, OpSchema schema, long[] shape, DataType type) => parameter.Type switch
    {
        OpType.Tensor => Tensor(_random.Next(4) == 0 ? Changed(shape) : shape, IsIndex(parameter) ? DataType.Int64
            : parameter.Name == "mask" || parameter.Name == "condition" ? DataType.Bool : type),
        OpType.Operand => _random.Next(3) == 0 ? Number() : Tensor(_random.Next(3) == 0 ? Changed(shape) : shape, type),
        OpType.Tensors => List(Enumerable.Range(0, _random.Next(1, 4)).Select(_ =>
            Tensor(_random.Next(3) == 0 ? Changed(shape) : shape, type))),
        OpType.Int => new Argument
        {
            Integer = parameter.Name.StartsWith("dim", StringComparison.Ordinal) ? _random.Next(-2, 3) : Pick(_counts),
        },
        OpType.Ints => parameter.Name is "size" or "repeats" or "dims" or "pad" or "split_size"
            ? List(Enumerable.Range(0, _random.Next(1, 5)).Select(_ =>
                new Argument { Integer = _random.Next(2) == 0 ? Pick(_sizes) : Pick(_counts) }))
            : List(Enumerable.Range(0, _random.Next(1, 3)).Select(_ => new Argument { Integer = _random.Next(-2, 3) })),
        OpType.Float => new Argument { Real = _random.NextDouble() },
        OpType.Floats => List([new Argument { Real = 0.5 }]),
        OpType.Scalar => Number(),
        OpType.Bool => new Argument { Boolean = _random.Next(2) == 0 },
        OpType.Text => new Argument { Text = Pick(_texts) },
        OpType.DType => new Argument { Dtype = type },
        OpType.Device => new Argument { Device = "cpu" },
        OpType.Index => Tensor(shape, _random.Next(2) == 0 ? DataType.Bool : DataType.Int64),
        _ => _random.Next(3) switch
        {
            0 => Number(),
            1 => Tensor(shape, _random.Next(2) == 0 ? DataType.Int64 : type),
            _ => List([new Argument { Integer = Pick(_counts) }]),
        },
    };

    private static bool IsIndex(OpParameter parameter) => parameter.Name is "index" or "indices" or "target";

    private long[] Changed(long[] shape)
    {
        long[] changed = [.. shape];
        if (changed.Length > 0) changed[_random.Next(changed.Length)] = Pick(_sizes);
        return _random.Next(3) == 0 ? [.. changed.Reverse()] : changed;
    }

    /// <summary>A tensor of the shape, expanded from one element, from one row, or with memory of its own.</summary>
    private Argument Tensor(long[] shape, DataType type)
    {
        long[] own = _random.Next(3) switch
        {
            0 => [.. shape.Select(_ => 1L)],
            1 => [.. shape.Select((size, d) => d == shape.Length - 1 ? size : 1)],
            _ => shape,
        };
        bool isDrawn = type is DataType.Float32 or DataType.Float64 && _random.Next(2) == 0;
        var made = new Call { Op = isDrawn ? "rand" : "ones", Arguments = { Ints(own) } };
        made.Keywords.Add("dtype", new Argument { Dtype = type });
        uint node = Add(made);
        if (_hasGradient && type is (DataType.Float32 or DataType.Float64 or DataType.Bfloat16 or DataType.Float16) && _random.Next(3) != 0)
            node = AddToRegion(new Node { NewParameter = new NewParameter { Initial = new Argument { Node = node } } });
        Description += $"\n%{node} = {made.Op}({string.Join(",", own)}; {type}) -> {string.Join(",", shape)}";
        if (own.SequenceEqual(shape)) return new Argument { Node = node };
        return new Argument { Node = Add(new Call { Op = "expand", Arguments = { new Argument { Node = node }, Ints(shape) } }) };
    }

    private uint Add(Call call) => AddToRegion(new Node { Call = call });

    private uint AddToRegion(Node node)
    {
        _program.Nodes.Add(node);
        uint id = (uint)_program.Nodes.Count - 1;
        _program.Regions[0].Nodes.Add(id);
        return id;
    }

    private Argument Number() =>
        _random.Next(2) == 0 ? new Argument { Integer = Pick(_counts) } : new Argument { Real = _random.NextDouble() * 3 };

    private static Argument Ints(long[] sizes) => List(sizes.Select(size => new Argument { Integer = size }));

    private static Argument List(IEnumerable<Argument> items) => new() { List = new ArgumentList { Items = { items } } };

    private T Pick<T>(T[] from) => from[_random.Next(from.Length)];
}
