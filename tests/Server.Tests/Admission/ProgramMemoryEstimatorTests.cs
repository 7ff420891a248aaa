using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Server.Admission;


namespace Ndif.Server.Tests.Admission;

public sealed class ProgramMemoryEstimatorTests
{
    private const int HiddenSize = 64, IntermediateSize = 256, VocabSize = 1000, Seq = 6; // Seq: the tokens of "The Eiffel Tower is in"

    private static readonly ModelDescription _model = new()
    {
        Dtype = DataType.Float32,
        Vocabulary = VocabSize,
        Names = new StandardNames { Embed = "wte", Layers = "h", LmHead = "lm_head" },
        Root = new ModuleInfo
        {
            Children =
            {
                Module("wte", "Embedding", VocabSize, HiddenSize),
                new ModuleInfo { Name = "h", List = true, Children = { new ModuleInfo { Name = "0", ClassName = "Block", Children =
                    { Module("c_fc", "Conv1D", HiddenSize, IntermediateSize), Module("up", "Linear", IntermediateSize, HiddenSize) } } } },
                Module("lm_head", "Linear", VocabSize, HiddenSize),
            },
        },
    };

    [Theory]
    [InlineData("wte", SiteKind.Output, HiddenSize)]
    [InlineData("h.0", SiteKind.Output, HiddenSize)]
    [InlineData("h.0", SiteKind.Hidden, HiddenSize)]
    [InlineData("h.0.c_fc", SiteKind.Output, IntermediateSize)]
    [InlineData("h.0.c_fc", SiteKind.Input, HiddenSize)]
    [InlineData("h.0.up", SiteKind.Output, IntermediateSize)]
    [InlineData("h.0.up", SiteKind.Input, HiddenSize)]
    [InlineData("lm_head", SiteKind.Output, VocabSize)]
    public void ASavedSite_HasTheWidthOfItsModule(string module, SiteKind kind, int width) =>
        Assert.Equal((ulong)(Seq * width * sizeof(float)), GetResultBytes(Read(module, kind), Save(0)));

    [Fact]
    public void AnIndex_Narrows_AndAnOperationIsAsLargeAsItsLargestArgument()
    {
        // logits[.., ^1] * 2
        var last =
            new Argument { Tuple = new ArgumentList { Items = { new Argument { Slice = new Slice() }, new Argument { Integer = -1 } } } };
        var half = new Argument { Tuple = new ArgumentList { Items = { new Argument { Ellipsis = new Nothing() },
            new Argument { Slice = new Slice { Stop = new Argument { Integer = -VocabSize / 2 } } } } } };
        Node logits = Read("lm_head", SiteKind.Output);
        Assert.Equal(4ul * VocabSize, GetResultBytes(logits, Call("getitem", new Argument { Node = 0 }, last),
            Call("mul", new Argument { Node = 1 }, new Argument { Real = 2 }), Save(2)));
        Assert.Equal(4ul * Seq * VocabSize / 2, GetResultBytes(logits, Call("getitem", new Argument { Node = 0 }, half), Save(1)));
        // an element of a tuple
        Assert.Equal(4ul * Seq * HiddenSize, GetResultBytes(
            Read("h.0", SiteKind.Output), Call("getitem", new Argument { Node = 0 }, new Argument { Integer = 0 }), Save(1)));
    }

    [Fact]
    public void AGenerationsSteps_AddUp_InAListToo()
    {
        const int Steps = 10;
        Program program = CreateProgram(Mode.Generate, Read("lm_head", SiteKind.Output), new Node { Append =
            new Append { Container = 2, Value = new Argument { Node = 0 } } }, new Node { Container = new MakeContainer() }, Save(2));
        program.Nodes[4].Trace.Generation = new Generation { MaxNewTokens = Steps };
        program.Regions[1].Nodes.Clear();
        program.Regions[1].Nodes.Add([2, 3, 5]);
        program.Nodes.Add(new Node { Steps = new StepLoop { Each = new StepRange { Stride = 1 }, Region = 2 } });
        program.Regions.Add(new Region { Nodes = { 0, 1 } });

        Assert.Equal(4ul * (Seq + Steps - 1) * VocabSize, ProgramMemoryEstimator.Estimate(program, _model).Result);
    }

    [Fact]
    public void ThePeak_GrowsWithTokens_AndHoldsWhatIsSaved_AndWithoutADescriptionOnlyConstantsCount()
    {
        Program program = CreateProgram(Mode.Forward, Read("lm_head", SiteKind.Output), Save(0));
        (ulong result, ulong peak) = ProgramMemoryEstimator.Estimate(program, _model);
        Assert.True(peak > 2 * result); // the logits and their saved copy
        program.Nodes[2].Trace.Invokes[0].Input.Tokens.Add(new TokenRow { Ids = { new long[500] } });
        Assert.True(ProgramMemoryEstimator.Estimate(program, _model).Peak > 80 * peak); // two rows, padded to the longer one

        program.Constants.Add(new Tensor { Dtype = DataType.Uint8, Shape = { 77 }, Blob = new BlobRef { Length = 77 } });
        Assert.Equal((0ul, 77ul), ProgramMemoryEstimator.Estimate(program, null));
    }

    [Fact]
    public void ABrokenProgram_IsNoDanger()
    {
        Program program = CreateProgram(Mode.Forward, Read("no.such", SiteKind.Output), Save(99),
            Call("getitem", new Argument { Node = 0 }, new Argument { Text = "x" }));
        program.Regions[1].Nodes.Add(1234);
        program.Nodes.Add(new Node { ForEach = new ForEach { Region = 1 } }); // a region that contains itself
        program.Regions[1].Nodes.Add(4);
        Assert.Equal(0ul, ProgramMemoryEstimator.Estimate(program, _model).Result);
    }

    /// <summary>A loop over values saves in every turn; its values and their number are those of the program.</summary>
    [Fact]
    public void ALoopOverValues_CountsEachOfThem()
    {
        var million = new Argument { Integer = 1_000_000 };
        Assert.Equal(8_000_000ul, GetLoopBytes(Call("arange", million), new ForEach { Items = new Argument { Node = 0 }, Region = 2 }, 2));
        var size = new Argument { List = new ArgumentList { Items = { new Argument { Integer = 500 }, new Argument { Integer = 20 } } } };
        Assert.Equal(500ul * 20 * 4, GetLoopBytes(Call("zeros", size), new ForEach { Items = new Argument { Node = 0 }, Region = 2 }, 2));
        Assert.Equal(500ul * 500 * 20 * 4, GetLoopBytes(Call("zeros", size), new ForEach { Items = new Argument { Node = 0 }, Region = 2 },
            0));
        var list = new Argument { List = new ArgumentList { Items = { Enumerable.Repeat(new Argument { Node = 0 }, 10) } } };
        Assert.Equal(10ul * 500 * 20 * 4, GetLoopBytes(Call("ones", size), new ForEach { Items = list, Region = 2 }, 2));
    }

    [Fact]
    public void ALoopWithACondition_CountsAsOftenAsItsLimit()
    {
        Program program = CreateProgram(Mode.Forward, Call("rand", new Argument { Integer = 100 }),
            new Node { While = new While { ConditionRegion = 3, Region = 2, Limit = 1000 } });
        program.Nodes.Add(Save(0));
        program.Regions.Add(new Region { Nodes = { 3 } });
        program.Regions.Add(new Region());
        Assert.Equal(1000ul * 100 * 4, ProgramMemoryEstimator.Estimate(program, _model).Result);
    }

    [Fact]
    public void ExpandAndRepeat_AreAsLargeAsTheirResults()
    {
        var size = new Argument { List = new ArgumentList { Items = { new Argument { Integer = 1000 }, new Argument { Integer = -1 } } } };
        Node one = Call("zeros", new Argument { List = new ArgumentList { Items = { new Argument { Integer = 1 },
            new Argument { Integer = 8 } } } });
        Assert.Equal(32_000ul, GetResultBytes(one, Call("expand", new Argument { Node = 0 }, size), Save(1)));
        size.List.Items[1].Integer = 3;
        Assert.Equal(96_000ul, GetResultBytes(one, Call("repeat", new Argument { Node = 0 }, size), Save(1)));
    }

    /// <summary>The bytes of a program that saves a node in each turn of a loop; node 2 is the value of the turn.</summary>
    private static ulong GetLoopBytes(Node items, ForEach loop, uint saved)
    {
        // nodes: 0 the items, 1 the loop, 2 the loop's value, 3 the save, 4 the trace
        Program program = CreateProgram(Mode.Forward, items, new Node { ForEach = loop },
            new Node { RegionParameter = new RegionParameter() }, Save(saved));
        program.Regions[1].Nodes.Clear();
        program.Regions[1].Nodes.Add([0u, 1u]);
        program.Regions.Add(new Region { Nodes = { 3 }, Parameters = { 2 } });
        return ProgramMemoryEstimator.Estimate(program, _model).Result;
    }

    private static ulong GetResultBytes(params Node[] statements) =>
        ProgramMemoryEstimator.Estimate(CreateProgram(Mode.Forward, statements), _model).Result;

    /// <summary>Creates a program with one trace of one prompt, whose region contains these nodes.</summary>
    private static Program CreateProgram(Mode mode, params Node[] statements)
    {
        var program = new Program { Nodes = { statements }, Regions = { new Region { Nodes = { (uint)statements.Length } },
            new Region { Nodes = { Enumerable.Range(0, statements.Length).Select(i => (uint)i) } } } };
        program.Nodes.Add(new Node { Trace = new Trace { Mode = mode, Region = 9999,
            Invokes = { new Invoke { Region = 1, Input = new Input { Prompts = { "The Eiffel Tower is in" } } } } } });
        return program;
    }

    private static Node Read(string module, SiteKind kind) =>
        new() { Read = new ReadSite { Site = new Site { Module = module, Kind = kind } } };

    private static Node Save(uint node) => new() { Save = new Save { Value = new Argument { Node = node } } };

    private static Node Call(string op, params Argument[] arguments) => new() { Call = new Call { Op = op, Arguments = { arguments } } };

    private static ModuleInfo Module(string name, string className, params long[] shape) =>
        new() { Name = name, ClassName = className, Parameters = { new ParameterInfo { Name = "weight", Shape = { shape } } } };
}
