using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Features;

/// <summary>Assignments to items of lists and dictionaries, and what a saved list or dictionary contains.</summary>
public sealed class ContainerTests
{
    private const string Prompt = "Hello there";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static LanguageModel Llm => Backends.Model("local");

    private static async Task<NdifException> ErrorOfAsync(Action<LanguageModel, Trace> experiment)
    {
        LanguageModel llm = Llm;
        return await Assert.ThrowsAnyAsync<NdifException>(() => llm.TraceAsync(Prompt, t =>
        {
            experiment(llm, t);
            return llm.Logits.Save();
        }, cancellationToken: Cancellation));
    }

    [Fact]
    public async Task AnEntryOfASite_CannotBeAssigned_AndTheErrorSaysHow()
    {
        Action<LanguageModel, Trace>[] assignments =
        [
            (llm, _) => llm.Layers[1].Attn.Inputs.Kwargs["attention_mask"] = 0,
            (llm, _) => llm.Inputs.Kwargs["nonsense"] = 0,
            (llm, _) => llm.Layers[1].Attn.Inputs.Args[0] = llm.Layers[1].Attn.Input * 2,
        ];
        foreach (var assign in assignments)
        {
            NdifException error = await ErrorOfAsync(assign);
            Assert.Contains("module.Input = value", error.Message, StringComparison.Ordinal);
            Assert.Contains("module.Inputs = new Inputs(", error.Message, StringComparison.Ordinal);
        }
        foreach (bool isTensor in (bool[])[true, false])
        {
            NdifException error = await ErrorOfAsync((llm, _) =>
            {
                Value output = llm.Output;
                output["logits"] = isTensor ? output["logits"] * 2 : 0;
            });
            Assert.Contains("[\"name\"][..] = value", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task AnItemOfACopy_CannotBeAssigned() => Assert.Contains("is a copy", (await ErrorOfAsync((llm, t) =>
    {
        ValueList outer = t.List(t.List(1, 2));
        outer[0][0] = llm.Layers[0].Hidden;
    })).Message, StringComparison.Ordinal);

    [Fact]
    public async Task AnItemOfAListOrMap_CanBeATensor()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Trace(Prompt);
        ValueList list = t.List(0, 1);
        ValueMap map = t.Map();
        Value hidden = llm.Layers[0].Hidden;
        list[0] = hidden;
        list[^1] = list[0] * 2;
        list[0] = list[1] - hidden;
        map["a"] = hidden;
        map["a"] = map["a"] * 3;
        Saved one = hidden.Save(), items = list.Save(), entries = map.Save(), first = list[0].Save();
        list[1] = 7;
        await t.RunAsync(Cancellation);
        var saved = (object?[])items.Result!;
        Assert.InRange(one.Tensor.MaxAbsDifference((TensorData)saved[0]!), 0, 1e-6);
        Assert.InRange(one.Tensor.MaxAbsDifference(first.Tensor), 0, 1e-6);
        Assert.Equal(7L, saved[1]);
        Assert.InRange((one.Tensor * 3).MaxAbsDifference(entries["a"] is Saved entry ? entry.Tensor : null!), 0, 1e-6);
    }

    [Fact]
    public async Task AnEditAfterTheSave_DoesNotChangeTheItems()
    {
        LanguageModel llm = Llm;
        using Trace t = llm.Trace(Prompt);
        Value hidden = llm.Layers[0].Hidden;
        ValueList list = t.List(hidden);
        ValueMap map = t.Map();
        map.Put("a", hidden);
        Saved one = hidden.Save(), items = list.Save(), entries = map.Save();
        list.Append(hidden);
        map.Put("b", hidden);
        list[0] = hidden;
        llm.Layers[0].Hidden[..] = 0;
        await t.RunAsync(Cancellation);
        foreach (Saved item in (Saved[])[(Saved)items[0], (Saved)items[1], (Saved)entries["a"], (Saved)entries["b"]])
            Assert.True(one.Tensor.SameAs(item.Tensor));
    }
}
