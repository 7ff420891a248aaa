using Ndif.Engine.Tests.Support;

namespace Ndif.Engine.Tests.Features;

/// <summary>
/// A trace that one async method (or cell of a notebook, which is one) opens and another continues. Each method here has a flow of control
/// of its own, as a cell has.
/// </summary>
public sealed class ContinuedTraceTests
{
    private const string Prompt = "Hello there";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static LanguageModel Llm => Backends.Model("local");

    private static async Task<T> InACell<T>(Func<T> cell)
    {
        await Task.Yield();
        return cell();
    }

    [Fact]
    public async Task Use_ContinuesATrace_ThatAnotherCellOpened()
    {
        LanguageModel llm = Llm;
        Trace t = await InACell(() => llm.Trace(Prompt));
        var error = Assert.Throws<InvalidOperationException>(() => llm.Layers[0].Hidden);
        Assert.Contains("`using (t.Use())` continues a trace", error.Message, StringComparison.Ordinal);

        Saved hidden = await InACell(() =>
        {
            using (t.Use()) return llm.Layers[0].Hidden.Save();
        });
        Saved logits;
        using (t.Use())
        {
            await Task.Yield(); // an await inside changes nothing
            logits = llm.Logits.Save();
        }
        Assert.Throws<InvalidOperationException>(() => llm.Logits);
        await InACell(() => t.RunAsync(Cancellation)).Unwrap();
        TensorAssert.Same((await llm.TraceAsync(Prompt, _ => llm.Layers[0].Hidden.Save(), cancellationToken: Cancellation)).Tensor,
            hidden.Tensor);
        Assert.Equal(3, logits.Tensor.Shape.Length);
        Assert.Throws<InvalidOperationException>(() => t.Use());
    }

    [Fact]
    public async Task AValueOfTheTrace_IsEnough()
    {
        LanguageModel llm = Llm;
        (Trace t, Value hidden) = await InACell(() => (llm.Trace(Prompt), llm.Layers[0].Hidden));
        Saved twice = await InACell(() => (2 * hidden).Save()), last = hidden[.., ^1].Save(), shape = hidden.Shape.Save();
        await t.RunAsync(Cancellation);
        TensorAssert.Same((twice.Tensor / 2)[.., ^1], last.Tensor);
        Assert.Equal(3, ((object?[])shape.Result!).Length);
    }

    [Fact]
    public async Task InvokesLoopsAndBranches_ContinueTheirTrace()
    {
        LanguageModel llm = Llm;
        Trace t = await InACell(() => llm.Generate(maxNewTokens: 2));
        List<Saved> steps = [];
        ValueList each = null!;
        Saved list = null!;
        await InACell(() =>
        {
            using (t.Invoke(Prompt))
            {
                foreach (int step in t.Iter[..]) steps.Add(llm.Logits[0, ^1].ArgMax(-1).Save());
                return 0;
            }
        });
        await InACell(() =>
        {
            using (t.Invoke("Hello"))
            {
                each = t.List();
                t.Iter.Each(_ => t.If(llm.Logits.Sum() > -1e9, () => each.Append(llm.Logits[0, ^1].Max())));
                list = each.Save();
                return 0;
            }
        });
        Assert.Throws<InvalidOperationException>(() => llm.Logits);
        await t.RunAsync(Cancellation);
        Assert.All(steps, step => Assert.True(step.HasValue));
        Assert.Equal(2, ((object?[])list.Result!).Length);
    }

    [Fact]
    public async Task TwoTraces_AreRecordedInTurn()
    {
        LanguageModel llm = Llm;
        Trace first = await InACell(() => llm.Trace(Prompt)), second = await InACell(() => llm.Trace("Hello"));
        Saved a, b, c;
        using (first.Use())
        {
            a = llm.Layers[0].Hidden.Save();
            using (second.Use()) b = llm.Layers[0].Hidden.Save();
            c = llm.Layers[1].Hidden.Save();
        }
        await first.RunAsync(Cancellation);
        Assert.True(a.HasValue && c.HasValue && !b.HasValue);
        await second.RunAsync(Cancellation);
        Assert.True(b.HasValue);
    }

    [Fact]
    public async Task ASession_IsContinued_WithItsTraces()
    {
        LanguageModel llm = Llm;
        Session s = await InACell(() => llm.Session());
        Saved sum;
        using (s.Use())
        {
            Value hidden;
            using (llm.Trace(Prompt)) hidden = llm.Layers[0].Hidden;
            sum = hidden.Sum().Save();
        }
        await s.RunAsync(Cancellation);
        Assert.True(float.IsFinite(sum.Item<float>()));
    }

    [Fact]
    public async Task ATraceThatRanElsewhere_LeavesNothingOpenHere()
    {
        LanguageModel llm = Llm;
        using Session s = llm.Session();
        using (llm.Trace(Prompt)) llm.Layers[0].Hidden.Save();
        await Task.Run(() => s.RunAsync(Cancellation), Cancellation);
        using Trace t = llm.Trace(Prompt);
        Saved hidden = llm.Layers[0].Hidden.Save();
        await t.RunAsync(Cancellation);
        Assert.True(hidden.HasValue);
    }
}
