namespace Ndif.Language.Tests;

/// <summary>Heads, streams, weights, addresses and direct logit attribution of the bundled model, in every execution mode.</summary>
public sealed class StandardNameTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    public async Task AHead_IsReadEditedAndReplaced(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Envoy layer = llm.Layers[1];
        using Trace t = llm.Trace();
        Saved head, all, last, doubled, mixed;
        using (t.Invoke(Paris))
        {
            all = layer.Heads.Value.Clone().Save();
            head = layer.Heads[3].Clone().Save();
            last = layer.Heads[.., ^1, 3].Clone().Save();
            layer.Heads[3] = 0;
            layer.Heads[.., ^1, 0] *= 2;
            doubled = layer.Heads[.., ^1, 0].Save();
            mixed = layer.Attn["c_proj"].Input.Save();
        }
        await t.RunAsync(Cancel);
        Assert.Equal([1, 8, 4, 32], all.Tensor.Shape.ToArray());
        Same(all.Tensor[.., .., 3], head);
        Same(all.Tensor[.., ^1, 3], last);
        Near(all.Tensor[.., ^1, 0] * 2.0, doubled);
        Zero(mixed.Tensor[.., .., 96..]);
        Near(all.Tensor[.., ..^1, 0], mixed.Tensor[.., ..^1, ..32]);
        Near(doubled.Tensor, mixed.Tensor[.., ^1, ..32]);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task QueriesKeysAndThePattern_AreThoseOfTheAttention(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Envoy layer = llm.Layers[1];
        using Trace t = llm.Trace();
        Saved scores, computed, pattern, softmax, wq, z, changed;
        using (t.Invoke(Paris))
        {
            Value q = layer.Q.Value, k = layer.K.Value;
            computed = (Op.Einsum("bqhd,bkhd->bhqk", [q, k]) / Math.Sqrt(llm.Config.HeadDim)).Save();
            scores = layer.Scores.Save();
            softmax = layer.Scores.Softmax(-1).Save();
            pattern = layer.Pattern.Save();
            wq = layer.Attn.WQ.Save();
        }
        using (t.Invoke(Paris))
        {
            layer.V[0] = 0;
            layer.Pattern[.., 1] = 0;
            z = layer.Heads.Value.Save();
            changed = llm.Logits.Save();
        }
        await t.RunAsync(Cancel);
        Near(scores.Tensor[.., .., ^1], computed.Tensor[.., .., ^1]); // the last token sees all, so nothing is masked
        Near(softmax, pattern);
        Assert.Equal([4, 128, 32], wq.Tensor.Shape.ToArray());
        Zero(z.Tensor[.., .., 0]);
        Zero(z.Tensor[.., .., 1]);
        NotZero(z.Tensor[.., .., 2]);
        Assert.Equal([1, 8, 1422], changed.Tensor.Shape.ToArray());
    }

    /// <summary>Each address and a plain site that has the value, the same or the next.</summary>
    private static readonly (string Address, Func<LanguageModel, Envoy, Value> Site)[] _addresses =
    [
        ("embeddings", (llm, _) => llm["transformer.wte"].Output),
        ("resid_pre.1", (_, h) => h.Input),
        ("attn_in.1", (_, h) => h["attn.c_attn"].Input),
        ("value.1", (_, h) => h.Attn.Source["v"].Output.Transpose(1, 2)),
        ("attn_scores.1", (_, h) => h.Attn.Source["scores"].Output),
        ("attn_probs.1", (_, h) => h.Attn.Output[1]),
        ("z.1", (_, h) => h.Attn["c_proj"].Input),
        ("attn_out.1", (_, h) => h.Attn.Output[0]),
        ("attn_out_post.1", (_, h) => h.Attn.Output[0]),
        ("resid_mid.1", (_, h) => h["ln_2"].Input),
        ("mlp_in.1", (_, h) => h["mlp.c_fc"].Input),
        ("mlp_pre.1", (_, h) => h["mlp.c_fc"].Output),
        ("mlp_act.1", (_, h) => h["mlp.c_proj"].Input),
        ("mlp_out.1", (_, h) => h.Mlp.Output),
        ("mlp_out_post.1", (_, h) => h.Mlp.Output),
        ("resid_post.1", (_, h) => h.Output[0]),
        ("final_norm", (llm, _) => llm["transformer.ln_f"].Output),
        ("lm_head", (llm, _) => llm["lm_head"].Output),
    ];

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAddress_IsReadAndWritten(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        List<(string Address, Saved Plain, Saved Read, Saved Written, Saved Edited)> read = [];
        foreach (var (address, site) in _addresses)
        {
            Saved plain, byAddress, written, edited;
            using (t.Invoke(Paris))
            {
                byAddress = llm.GetValue(address).Save();
                plain = site(llm, llm.Layers[1]).Save();
            }
            using (t.Invoke(Paris))
            {
                llm.SetValue(address, Op.Ones(llm.GetValue(address).Shape));
                written = site(llm, llm.Layers[1]).Save();
            }
            using (t.Invoke(Paris))
            {
                llm.GetValue(address)[0] = 2;
                edited = site(llm, llm.Layers[1]).Save();
            }
            read.Add((address, plain, byAddress, written, edited));
        }
        await t.RunAsync(Cancel);
        foreach (var (address, plain, byAddress, written, edited) in read)
        {
            Same(plain, byAddress);
            Assert.All(written.ToArray<float>(), x => Assert.True(x == 1, address));
            Assert.All(edited.ToArray<float>(), x => Assert.True(x == 2, address));
        }
    }

    [Fact]
    public void AnAddressThatIsNone_SaysWhatToDo()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        using Trace t = llm.Trace(Paris);
        Assert.Throws<IndexOutOfRangeException>(() => llm.GetValue("resid_post.4"));
        Assert.Contains("has no gate", ErrorOf(() => llm.GetValue("mlp_pre_linear.1")), StringComparison.Ordinal);
        Assert.Contains("no norm", ErrorOf(() => llm.GetValue("q_norm_in.1")), StringComparison.Ordinal);
        Assert.Contains("routing: true", ErrorOf(() => llm.GetValue("router_logits.1")), StringComparison.Ordinal);
        Assert.Contains("has one", ErrorOf(() => llm.GetValue("resid_streams.1")), StringComparison.Ordinal);
        Assert.Contains("Did you mean `resid_post`", ErrorOf(() => llm.GetValue("resid_pst.1")), StringComparison.Ordinal);
        Assert.Contains("resid_post.10", Assert.Throws<ArgumentException>(() => llm.GetValue("lm_head.weight")).Message,
            StringComparison.Ordinal);
    }

    private static string ErrorOf(Func<object?> read) => Assert.Throws<BadProgramException>(read).Message;

    [Theory, MemberData(nameof(Modes))]
    public async Task DirectLogitAttribution_AddsUpToTheDifferenceOfTwoLogits(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        int paris = llm.Tokenizer.Encode(" Paris")[0], rome = llm.Tokenizer.Encode(" Rome")[0];
        TensorData logits = await LogitsAsync(llm, Paris);
        using Trace t = llm.Trace(Paris);
        LogitAttribution attribution = llm.DirectLogitAttribution(" Paris", " Rome");
        await t.RunAsync(Cancel);
        float difference = logits[0, ^1, paris].Item<float>() - logits[0, ^1, rome].Item<float>();
        Assert.True(difference > 1);
        Assert.Equal(difference, attribution.Logit.Tensor[0].Item<float>(), 1e-3);
        float sum = attribution.Embed.Item<float>() + attribution.Bias.Item<float>()
            + attribution.Attention.ToArray<float>().Sum() + attribution.Mlp.ToArray<float>().Sum();
        Assert.Equal(difference, sum, 1e-3);
        Assert.Equal([1, 4, 4], attribution.Heads.Tensor.Shape.ToArray());
    }

    [Fact]
    public async Task DirectLogitAttribution_OfATextOfSeveralTokens_IsAnError()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        using Trace t = llm.Trace(Paris);
        Assert.Contains("tokens, not one", Assert.Throws<BadProgramException>(() => llm.DirectLogitAttribution("Xylophones")).Message,
            StringComparison.Ordinal);
        llm.Logits.Save();
        await t.RunAsync(Cancel);
    }

    [Fact]
    public void Config_IsTheSame_OfAModelOfTheService()
    {
        var remote = new LanguageModel(ServiceFixture.Model, remote: Service.Remote);
        Assert.Equal(Model(ExecutionMode.Local).Config.ToString(), remote.Config.ToString());
        Assert.Equal((4, 4, 32, 128, 1422), (remote.Config.Layers, remote.Config.Heads, remote.Config.HeadDim, remote.Config.Hidden,
            remote.Config.Vocab));
    }
}
