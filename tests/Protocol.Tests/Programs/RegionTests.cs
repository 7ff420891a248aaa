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
