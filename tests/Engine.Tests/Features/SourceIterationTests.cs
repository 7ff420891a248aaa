using Ndif.Engine.Tests.Support;

namespace Ndif.Engine.Tests.Features;

/// <summary>Operations under generation: nnsight's TestSourceIter and TestSourceMidIterLimitation, on the bundled model.</summary>
public sealed class SourceIterationTests
{
    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(All))]
    public async Task AllSteps_GiveTheirOutputAndInput_AlsoOfARecursiveOperation(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Source source = llm.Layers[0].Attn.Source;
        using Trace t = llm.Generate("Hello there", maxNewTokens: 3);
        List<Saved> inputs = [], probs = [], outputs = [], expected = [];
        foreach (int _ in t.Iter[..])
        {
            inputs.Add(source["split_0"].Input.Shape.Save());
            probs.Add(source["attention_interface_0"].Source["softmax_0"].Output.Shape.Save());
            outputs.Add(source["attention_interface_0"].Output[0].Reshape(-1, 128).Save());
            expected.Add(llm.Layers[0].Attn["c_proj"].Input.Reshape(-1, 128).Save());
        }
        await t.RunAsync(Cancellation);
        long tokens = llm.Tokenizer.Encode("Hello there").Count;
        for (int step = 0; step < 3; step++)
        {
            long now = step == 0 ? tokens : 1;
            Assert.Equal([1, now, 384], Numbers(inputs[step]));
            Assert.Equal([1, 4, now, tokens + step], Numbers(probs[step]));
            TensorAssert.Same(expected[step], outputs[step]);
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task OneStep_ASlice_AndASparseChoice_ReadThoseSteps(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Generate("Hello there", maxNewTokens: 5);
        List<Saved> shapes = [];
        foreach (int step in t.Iter[1..5])
        {
            // the source is first accessed in the middle of the iteration: nnsight misses that step, and this implementation does not
            if (step is 1 or 2 or 4) shapes.Add(llm.Layers[0].AttentionProbabilities.Shape.Save());
            llm.Layers[1].Hidden.Norm().Save();
        }
        await t.RunAsync(Cancellation);
        long tokens = llm.Tokenizer.Encode("Hello there").Count;
        Assert.Equal([tokens + 1, tokens + 2, tokens + 4], shapes.Select(s => Numbers(s)[^1]));
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnEditAtEveryStep_ChangesTheGeneration_AndOneAtAStepOnlyFromThere(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        long[] plain = await Generate(null), all = await Generate(_ => true), third = await Generate(step => step == 2);
        Assert.NotEqual(plain, all);
        int tokens = llm.Tokenizer.Encode("The Eiffel Tower is in").Count;
        Assert.Equal(plain[..(tokens + 2)], third[..(tokens + 2)]);
        Assert.NotEqual(plain, third);

        async Task<long[]> Generate(Func<int, bool>? edits)
        {
            using Trace t = llm.Generate("The Eiffel Tower is in", maxNewTokens: 6);
            if (edits is not null)
            {
                foreach (int step in t.Iter[..])
                {
                    if (!edits(step)) continue;
                    foreach (Envoy layer in llm.Layers) layer.Attn.Source["attention_interface_0"].Output[0][..] = 3;
                }
            }
            Saved ids = t.Result.Save();
            await t.RunAsync(Cancellation);
            return ids.Tensor.ToArray<long>();
        }
    }

    [Theory, MemberData(nameof(All))]
    public async Task ARecordedLoop_CountsTheCallsOfAnOperation(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Trace t = llm.Generate("Hello", maxNewTokens: 3);
        ValueList sums = t.List();
        t.Iter.Each(_ => sums.Append(llm.Layers[2].Attn.Source["probs"].Output.Sum()));
        Saved saved = sums.Save();
        await t.RunAsync(Cancellation);
        long tokens = llm.Tokenizer.Encode("Hello").Count;
        // the probabilities of each token in each of 4 heads sum to 1
        float[] got = [.. ((IReadOnlyList<object?>)saved.Result!).Select(v => ((TensorData)v!).Item<float>())];
        Assert.Equal(3, got.Length);
        Assert.Equal(4 * tokens, got[0], 1e-3);
        Assert.Equal(4, got[2], 1e-3);
    }

    private static long[] Numbers(Saved shape) => [.. ((object?[])shape.Result!).Cast<long>()];
}
