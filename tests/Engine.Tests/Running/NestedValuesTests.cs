using Google.Protobuf;
using Ndif.Engine.Compiling;
using Ndif.Engine.Gradients;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>No value is nested, and no program is long, so that the stack overflows, which would end the process.</summary>
public sealed class NestedValuesTests : IDisposable
{
    private const int MaxDepth = ValueNesting.MaxDepth;

    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    [Theory]
    [InlineData("a variable in a list")]
    [InlineData("a variable in a literal")]
    [InlineData("a list in itself")]
    [InlineData("a map in itself")]
    [InlineData("an item that is its list")]
    [InlineData("lists of lists")]
    public void AValueThatALoopNests_IsRefused(string what)
    {
        Error error = _fixture.Run(_prompt, t =>
        {
            const int Times = MaxDepth + 8;
            Variable variable = t.Variable(0);
            ValueMap map = t.Map();
            ValueList list = t.List(0);
            Value items = Op.Arange(Times);
            switch (what)
            {
                case "a variable in a list": t.ForEach(items, _ => variable.Set(t.List(variable.Value))); break;
                case "a variable in a literal": t.ForEach(items, _ => variable.Set(t.List(t.List(t.List(variable.Value))))); break;
                case "a list in itself": t.ForEach(items, _ =>
                    {
                        ValueList outer = t.List();
                        outer.Append(variable.Value);
                        variable.Set(outer);
                    }); break;
                case "a map in itself": t.ForEach(items, _ => map.Put("a", map)); break;
                case "an item that is its list": t.ForEach(items, _ => list[0] = list); break;
                default:
                    ValueList lists = t.List();
                    for (int i = 0; i < Times; i++) lists = t.List(lists);
                    break;
            }
        }).AssertFailed(ErrorCode.LimitExceeded);
        Assert.Contains($"nested deeper than {MaxDepth} lists", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AValueOfTheMostLevels_CanBeSaved()
    {
        JobOutcome outcome = _fixture.Run(_prompt, t =>
        {
            Variable variable = t.Variable(7);
            t.ForEach(Op.Arange(MaxDepth - 1), _ => variable.Set(t.List(variable.Value))); // which is a list itself
            variable.Value.Save("nested");
        }).AssertCompleted();
        Data data = outcome["nested"];
        int depth = 0;
        for (; data.List is not null; data = data.List.Items[0]) depth++;
        Assert.Equal((MaxDepth - 1, 7L), (depth, data.Integer));
    }

    [Fact]
    public void AMapOfTheMostLevels_CanBeReadFromItsMessage()
    {
        object? value = 7L;
        for (int i = 0; i < MaxDepth; i++) value = new Dictionary<string, object?> { ["a"] = value };
        ValueNesting.Require(value);
        var saved = new Event { Value = new SavedValue { Data = ValueSerializer.Serialize(value) } };
        Assert.Equal(saved, Event.Parser.ParseFrom(saved.ToByteArray()));
        Assert.ThrowsAny<NdifException>(() => ValueNesting.Require(new List<object?> { value }));
    }

    [Fact]
    public void ALongChain_RequiresGradients()
    {
        var program = new Program { Nodes = { new Node { Call = new Call { Op = "ones" } } } };
        for (uint i = 1; i < 50_000; i++) program.Nodes.Add(Call("neg", i - 1));
        program.Nodes.Add(Call("requires_grad_", 49_999));
        program.Regions.Add(new Region { Nodes = { Enumerable.Range(0, program.Nodes.Count).Select(i => (uint)i) } });
        AutogradRequirements? requirements = null;
        var thread = new Thread(() => requirements = AutogradRequirements.Analyze(program), maxStackSize: 256 << 10);
        thread.Start();
        thread.Join();
        Assert.Equal(program.Nodes.Count, requirements!.RequiresGrad.Count);

        static Node Call(string op, uint argument) =>
            new() { Call = new Call { Op = op, Arguments = { new Argument { Node = argument } } } };
    }
}
