using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Protocol.Tests.Programs;

/// <summary>The checks of adapters inside a call of a module.</summary>
public sealed class CallAdapterTests
{
    private static readonly ModelDescription _model = new()
    {
        Architecture = "Tiny",
        Root = new ModuleInfo
        {
            Children =
            {
                new ModuleInfo { Name = "mlp", Children = { new ModuleInfo { Name = "up" } } }, new ModuleInfo { Name = "mlp2" },
            },
        },
    };

    [Theory]
    [InlineData("mlp", "mlp.up", 2, null)]
    [InlineData("mlp.up", "mlp.up", 2, null)]
    [InlineData("", "mlp2", 2, null)]
    [InlineData("mlp", "mlp2", 2, "does not run it")]
    [InlineData("mlp", "mlp.down", 2, "has no module `mlp.down`")]
    [InlineData("mlp", "mlp.up", 1, "the input and the output of its module")]
    public void AnAdapter_IsOfAModuleInsideTheCall(string called, string adapted, int parameters, string? error) =>
        Check(Create(called, adapted, parameters), error);

    [Fact]
    public void AnAdapter_HasNoSites_AndARegionOfItsOwn()
    {
        Program program = Create("mlp", "mlp.up", 2);
        var site = new Site { Module = "mlp", Kind = SiteKind.Output };
        program.Nodes.Insert(2, new Node { Read = new ReadSite { Site = site, Call = new CallIndex { At = 0 } } });
        program.Regions[1].Nodes.Add(2);
        program.Regions[0].Nodes[0] = 3;
        Check(program, "cannot be used inside of the forward of `mlp.up`");

        Program repeated = Create("mlp", "mlp.up", 2);
        repeated.Nodes[2].CallModule.Adapters.Add(repeated.Nodes[2].CallModule.Adapters[0].Clone());
        Check(repeated, "Region 1 is used twice");
        Program missing = Create("mlp", "mlp.up", 2);
        missing.Nodes[2].CallModule.Adapters[0].Forward = 9;
        Check(missing, "the input and the output of its module");
        Program without = Create("mlp", "mlp.up", 2);
        without.Nodes[2].CallModule.Adapters[0].Result = null;
        Check(without, "An argument is missing");
    }

    private static void Check(Program program, string? error)
    {
        Error? found = ProgramValidator.Validate(program, _model, ProgramValidator.LocalLimits);
        if (error is null) Assert.Null(found);
        else Assert.Contains(error, found!.Message, StringComparison.Ordinal);
    }

    private static Program Create(string called, string adapted, int parameters)
    {
        var adapter = new CallAdapter { Module = adapted, Forward = 1, Result = new Argument { Node = 0 } };
        var region = new Region { Parameters = { Enumerable.Range(0, parameters).Select(i => (uint)i) } };
        var program = new Program { Version = ProgramFormat.Version, Regions = { new Region { Nodes = { (uint)parameters } }, region } };
        for (int i = 0; i < parameters; i++) program.Nodes.Add(new Node { RegionParameter = new RegionParameter() });
        program.Nodes.Add(new Node
        {
            CallModule = new CallModule { Module = called, Arguments = { new Argument { Integer = 1 } }, Adapters = { adapter } },
        });
        return program;
    }
}
