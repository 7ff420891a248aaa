using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Protocol.Programs;
using Ndif.Server.Admission;

namespace Ndif.Server.Tests.Admission;

/// <summary>
/// Checking a program, and estimating what it needs, takes memory and time in proportion to its size: a program of 4 MB whose tensors have
/// two million dimensions took gigabytes and minutes. The tests run alone, because they measure time.
/// </summary>
[CollectionDefinition(nameof(CheckingCostTests), DisableParallelization = true), Collection(nameof(CheckingCostTests))]
public sealed class CheckingCostTests
{
    private const int Nodes = 50_000;

    private static readonly ModelDescription _model = new()
    {
        Architecture = "Big",
        Names = new StandardNames { Embed = "embed", Layers = "layers" },
        Vocabulary = 1000,
        Root = new ModuleInfo
        {
            Children =
            {
                new ModuleInfo { Name = "embed", ClassName = "Embedding" },
                new ModuleInfo
                {
                    Name = "layers", List = true, Children =
                    {
                        Enumerable.Range(0, 100).Select(layer => new ModuleInfo
                        {
                            Name = $"{layer}",
                            Children = { Enumerable.Range(0, 20).Select(part => new ModuleInfo { Name = $"part_{part}" }) },
                        }),
                    },
                },
            },
        },
    };

    private static readonly Argument _newAxis = new() { None = new Nothing() }, _all = new() { Ellipsis = new Nothing() };

    private static readonly Dictionary<string, Func<Program>> _programs = new()
    {
        ["new axes on a tensor of 20,000 dimensions"] = () => Write(program =>
        {
            uint tensor = Call(program, "zeros", Sizes(20_000));
            for (int i = 0; i < Nodes; i++) tensor = Call(program, "getitem", Of(tensor), _newAxis);
        }),
        ["a new axis for each node"] = () => Write(program =>
        {
            uint tensor = Call(program, "zeros", Sizes(1));
            for (int i = 0; i < Nodes; i++) tensor = Call(program, "getitem", Of(tensor), _newAxis);
        }),
        ["a constant of two million dimensions"] = () => Write(program =>
        {
            program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Inline = Google.Protobuf.ByteString.CopyFrom(1) });
            program.Constants[0].Shape.Add(Enumerable.Repeat(1L, 2_000_000));
            for (int i = 0; i < Nodes; i++) Call(program, "neg", new Argument { Constant = 0 });
        }),
        ["repeated by 20,000 factors"] = () => Write(program =>
        {
            uint tensor = Call(program, "zeros", Sizes(1));
            tensor = Call(program, "repeat", Of(tensor), Sizes(20_000));
            for (int i = 0; i < Nodes; i++) tensor = Call(program, "repeat", Of(tensor), Sizes(2));
        }),
        ["a cache of all modules for each node"] = () => Write(program =>
        {
            for (int i = 0; i < Nodes; i++) Add(program, new Node { Cache = new Cache { Outputs = true } });
        }),
        ["a keyword of a million letters"] = () => Write(program =>
            Add(program, new Node { Call = new Call { Op = "softmax", Arguments = { Of(0) }, Keywords =
                { [new string('d', 1_000_000)] = new Argument { Integer = 1 } } } })),
        ["several ellipses"] = () => Write(program =>
        {
            uint tensor = Call(program, "zeros", Sizes(3));
            Call(program, "getitem", Of(tensor), new Argument { Tuple = new ArgumentList { Items = { _all, _all } } });
        }),
    };

    public static TheoryData<string> Programs => [.. _programs.Keys];

    [Theory]
    [MemberData(nameof(Programs))]
    public void AProgram_TakesMemoryInProportionToItsSize(string what)
    {
        Program program = _programs[what]();
        ProgramLimits limits = new GatewayOptions().GetLimits("standard");
        long before = GC.GetAllocatedBytesForCurrentThread();
        TimeSpan began = Environment.CpuUsage.TotalTime; // not of the clock: the machine may be busy
        Error? error = ProgramValidator.Validate(program, _model, limits);
        Assert.True(error is null or { Code: ErrorCode.InvalidProgram or ErrorCode.BadArgument }, $"{error}");
        if (error is null) ProgramCostEstimator.Estimate(program, _model);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256 << 20);
        Assert.InRange((Environment.CpuUsage.TotalTime - began).TotalSeconds, 0, 5);
    }

    /// <summary>A program of one trace with these nodes in its invoke.</summary>
    private static Program Write(Action<Program> add)
    {
        var program = new Program { Version = ProgramFormat.Version, Client = "tests", Model = new ModelRef { Id = "big" } };
        program.Regions.Add([new Region(), new Region(), new Region()]);
        add(program);
        program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(new Node { Trace = new Trace { Mode = Mode.Forward, Region = 2, Invokes =
            { new Invoke { Region = 1, Input = new Input { Prompts = { "Hello" } } } } } });
        return program;
    }

    private static uint Add(Program program, Node node)
    {
        program.Regions[1].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(node);
        return (uint)program.Nodes.Count - 1;
    }

    private static uint Call(Program program, string op, params Argument[] arguments) =>
        Add(program, new Node { Call = new Call { Op = op, Arguments = { arguments } } });

    private static Argument Of(uint node) => new() { Node = node };

    private static Argument Sizes(int count) =>
        new() { List = new ArgumentList { Items = { Enumerable.Repeat(new Argument { Integer = 1 }, count) } } };
}
