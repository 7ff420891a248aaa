using Ndif.Protocol.Programs;

namespace Ndif.Protocol.Tests.Programs;

/// <summary>Regions cost memory like nodes: each belongs to a node, and their number is limited.</summary>
public sealed class RegionTests
{
    [Fact]
    public void ARegionThatNoNodeRefersTo_IsRefused()
    {
        Program program = WithBranches(2);
        Assert.Null(Validate(program));
        program.Regions.Add(new Region());
        Error? error = Validate(program);
        Assert.Equal(ErrorCode.InvalidProgram, error?.Code);
        Assert.Contains("region 3", error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ManyEmptyRegions_OfOneNode_AreRefused()
    {
        Error? error = Validate(WithBranches(500));
        Assert.Equal(ErrorCode.LimitExceeded, error?.Code);
        Assert.Contains("501 regions", error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TablesThatNoNodeRefersTo_AreLimited()
    {
        Program lines = WithBranches(2), nodes = WithBranches(2), features = WithBranches(2), client = WithBranches(2);
        for (int i = 0; i < 101; i++) lines.Lines.Add(new SourceLine());
        for (int i = 0; i < 101; i++) nodes.Regions[1].Nodes.Add(0);
        for (int i = 0; i < 101; i++) features.RequiredFeatures.Add(ProgramFormat.Features[0]);
        client.Client = new string('c', 5000);
        foreach ((Program program, string what) in new[]
        {
            (lines, "101 source lines"), (nodes, "102 nodes in its regions"), (features, "101 required features"),
            (client, "5,000 characters in the name of its client"),
        })
        {
            Error? error = Validate(program);
            Assert.Equal((ErrorCode.LimitExceeded, true), (error?.Code, error?.Message.Contains(what, StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void TheSizesOfConstants_DoNotOverflow()
    {
        Program program = WithBranches(2);
        for (int i = 0; i < 3; i++)
            program.Constants.Add(new Tensor
            {
                Dtype = DataType.Uint8, Shape = { long.MaxValue },
                Blob = new BlobRef { Id = new string('0', 64), Length = long.MaxValue },
            });
        var limits = new ProgramLimits { Nodes = 100, Nesting = 64, MessageBytes = int.MaxValue, ConstantBytes = long.MaxValue };
        Assert.Equal(ErrorCode.LimitExceeded, ProgramValidator.Validate(program, null, limits)?.Code);
    }

    [Fact]
    public void UnknownElementTypes_AreRefused()
    {
        Program program = WithBranches(2);
        var call = new Call { Op = "zeros", Arguments = { new Argument { List = new ArgumentList() } } };
        call.Keywords.Add("dtype", new Argument { Dtype = (DataType)77 });
        program.Regions[0].Nodes.Add((uint)program.Nodes.Count);
        program.Nodes.Add(new Node { Call = call });
        Assert.Contains("element type 77", Validate(program)?.Message ?? "", StringComparison.Ordinal);
    }

    private static Error? Validate(Program program) =>
        ProgramValidator.Validate(program, null, new ProgramLimits { Nodes = 100, Nesting = 64, MessageBytes = int.MaxValue });

    /// <summary>One node with many branches, which are empty.</summary>
    private static Program WithBranches(int count)
    {
        var branches = new If();
        var program = new Program { Version = ProgramFormat.Version, Regions = { new Region { Nodes = { 0 } } } };
        for (int i = 0; i < count; i++)
        {
            branches.Branches.Add(new Branch { Condition = new Argument { Boolean = true }, Region = (uint)i + 1 });
            program.Regions.Add(new Region());
        }
        program.Nodes.Add(new Node { If = branches });
        return program;
    }
}
