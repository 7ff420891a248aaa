using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Local;

/// <summary>
/// Heads, the residual stream, weights and direct logit attribution by their standard names, compared with the plain sites and parameters
/// of the architectures, which differ in all of it.
/// </summary>
public sealed class StandardNameTests : IDisposable
{
    private static readonly int[] _prompt = [3, 7, 11, 2, 39, 5];

    private readonly TempFolder _folder = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    /// <summary>All decoders whose layers have a layout.</summary>
    public static TheoryData<string> Decoders => [.. TinyConfigs.CausalNames.Where(name => !_otherLayers.Contains(name.Split(' ')[0]))];

    /// <summary>Layers that scale their stream, have several, or are one part each.</summary>
    private static readonly HashSet<string> _otherLayers =
    [
        "gemma3n", "Gemma3n", "gemma4", "Gemma4", "mamba", "falcon_mamba", "mamba2", "rwkv", "falcon_h1", "nemotron_h", "t5", "mt5", "bart",
    ];

    /// <summary>Limits, norms and factors between the projections and the scores that change the lengths of queries or keys.</summary>
    private static readonly string[] _changedQueries = ["clipped", "qk norm", "parallel", "llama4", "Llama4", "ministral3"];

    [Theory, MemberData(nameof(Decoders))]
    public async Task TheResidualStream_IsASum_WhereTheLayerSaysSo(string name)
    {
        LanguageModel llm = Open(name);
        using Trace t = llm.Trace(_prompt);
        List<(Envoy Layer, ResidualLayout Layout, Saved Pre, Saved? Attention, Saved? Mid, Saved? Mlp, Saved Post)> read = [];
        foreach (Envoy layer in llm.Layers)
        {
            ResidualLayout layout = Module(llm, layer.Path).Residual;
            bool hasMid = layout.Kind is not ResidualKind.Parallel;
            Saved pre = layer.ResidPre.Save();
            bool isModule = layout.Attention.Length > 0 && layout.MidModule.Length == 0;
            Saved? attention = isModule ? layer.Get(layout.Attention).Hidden.Save() : null;
            Saved? mid = hasMid ? layer.ResidMid.Save() : null;
            Saved? mlp = layout.Mlp.Length > 0 ? layer.Get(layout.Mlp).Hidden.Save() : null;
            if (!hasMid)
                Assert.Contains("parallel residual", ErrorOf(() => layer.ResidMid), StringComparison.Ordinal);
            read.Add((layer, layout, pre, attention, mid, mlp, layer.ResidPost.Save()));
        }
        await t.RunAsync(Cancel);
        foreach (var (layer, layout, pre, attention, mid, mlp, post) in read)
        {
            double scale = layout.Scale == 0 ? 1 : layout.Scale;
            TensorData Flat(Saved value) => value.Tensor.Reshape([.. pre.Tensor.Shape.ToArray()]);
            if (attention is not null && mid is not null) Near(pre.Tensor + Flat(attention) * scale, mid, layer.Path);
            if (layout.Kind is ResidualKind.Normalized || mlp is null) continue;
            Near((mid ?? pre.Tensor + Flat(attention!) * scale) + Flat(mlp) * scale, post, layer.Path);
        }
    }

    [Theory]
    [InlineData("gpt2"), InlineData("llama"), InlineData("gemma2"), InlineData("bloom"), InlineData("opt"), InlineData("opt norm after")]
    public async Task AnEditOfTheStreamBetweenAttentionAndMlp_ReachesBoth(string name)
    {
        LanguageModel llm = Open(name);
        Envoy layer = llm.Layers[0];
        ResidualLayout layout = Module(llm, layer.Path).Residual;
        using Trace t = llm.Trace();
        Saved mlp, post, replaced, edited;
        using (t.Invoke(_prompt))
        {
            layer.ResidMid = Op.Ones(layer.ResidMid.Shape);
            mlp = layer.Get(layout.Mlp).Hidden.Save();
            post = layer.ResidPost.Save();
        }
        using (t.Invoke(_prompt))
        {
            layer.ResidMid[..] = 1;
            edited = layer.ResidPost.Save();
        }
        using (t.Invoke(_prompt)) replaced = layer.ResidPost.Save();
        await t.RunAsync(Cancel);
        Near(post, edited, "in place");
        Assert.False(post.Tensor.SameAs(replaced), "the edit changed nothing");
        if (layout.Kind is ResidualKind.Sequential) Near(mlp.Tensor.Reshape([.. post.Tensor.Shape.ToArray()]) + 1.0, post, name);
    }

    [Theory, MemberData(nameof(Decoders))]
    public async Task TheHeads_AreTheInputOfTheOutputProjection_AndWeightsAreThoseOfTheHeads(string name)
    {
        if (name is "qwen3_next" or "olmo_hybrid" || name.Contains("3_5", StringComparison.Ordinal)) return; // gated: see the next test
        LanguageModel llm = Open(name, WithoutBiases);
        foreach (Envoy layer in llm.Layers)
        {
            if (Module(llm, layer.Path).Find(llm.Description.Names.Attention) is not { Attention: { } heads } module) continue;
            bool isLinear = heads.Query is not null && heads.QueryNorm.Length == 0 && !_changedQueries.Any(name.Contains);
            using Trace t = llm.Trace(_prompt);
            Saved x = layer.Attn.Input.Save();
            Saved q = layer.Q.Value.Save(), k = layer.K.Value.Save(), v = layer.V.Value.Save();
            Saved scores = layer.Scores.Save(), pattern = layer.Pattern.Save(), z = layer.Heads.Value.Save(), last = layer.Heads[^1].Save();
            Saved mixed = layer.Attn.Get(heads.Output).Input.Save(), output = layer.Attn.Get(heads.Output).Output.Save();
            Saved written = Op.Einsum("bshd,hdm->bsm", [z, layer.Attn.WO]).Save();
            Saved? values = heads.Value is null ? null : Op.Einsum("bsm,hmd->bshd", [x, layer.Attn.WV]).Save();
            Saved? keys = isLinear ? Op.Einsum("bsm,hmd->bshd", [x, layer.Attn.WK]).Save() : null;
            Saved? queries = isLinear ? Op.Einsum("bsm,hmd->bshd", [x, layer.Attn.WQ]).Save() : null;
            await t.RunAsync(Cancel);
            Assert.Equal([1, 6, heads.Heads, heads.HeadDim], z.Tensor.Shape.ToArray());
            Assert.Equal([1, 6, heads.HeadDim], last.Tensor.Shape.ToArray());
            Assert.Equal([1, heads.Heads, 6, 6], pattern.Tensor.Shape.ToArray());
            Assert.Equal(pattern.Tensor.Shape.ToArray(), scores.Tensor.Shape.ToArray());
            Near(mixed, z.Tensor.Reshape([1, 6, -1]), $"{name} z");
            Near(output, written, $"{name} WO");
            if (values is not null && !name.Contains("clipped", StringComparison.Ordinal)) Near(v, values, $"{name} WV");
            if (keys is null) continue;
            // rotations keep the length of each head's vector; a factor is the same for all
            SameLengths(k, keys, $"{name} WK");
            SameLengths(q, queries!, $"{name} WQ");
        }
    }

    [Fact]
    public async Task OfAGatedAttention_TheQueryIsTheFirstHalfOfEachHead()
    {
        LanguageModel llm = Open("qwen3_next", WithoutBiases);
        Envoy layer = llm.Layers.First(layer => Module(llm, layer.Path).Find("self_attn") is not null);
        using Trace t = llm.Trace(_prompt);
        Saved query = Op.Einsum("bsm,hmd->bshd", [layer.Attn.Input, layer.Attn.WQ]).Save();
        Saved gate = llm.GetValue($"attn_gate.{layer.Name}").Save(), normed = llm.GetValue($"q_norm_in.{layer.Name}").Save();
        await t.RunAsync(Cancel);
        Near(normed, query, "WQ");
        Near(gate.Tensor.Reshape([1, 6, query.Tensor.Shape[2], -1])[.., .., .., ..(int)query.Tensor.Shape[3]], query, "gate");
    }

    [Theory, MemberData(nameof(Decoders))]
    public async Task TheWeightsOfTheMlp_MultiplyFromTheRight(string name)
    {
        LanguageModel llm = Open(name, WithoutBiases);
        Envoy layer = llm.Layers[^1];
        ModuleInfo info = Module(llm, layer.Path);
        if (info.Mlp is null && info.Find(llm.Description.Names.Mlp)?.Mlp is null)
        {
            Assert.Throws<BadProgramException>(() => llm.Layers[^1].Mlp.WIn);
            return;
        }
        MlpLayout layout = info.Mlp ?? info.Find(llm.Description.Names.Mlp)!.Mlp;
        int last = llm.Config.Layers - 1;
        using Trace t = llm.Trace(_prompt);
        Saved x = llm.GetValue($"mlp_in.{last}").Save();
        Saved pre = llm.GetValue($"mlp_pre.{last}").Save();
        Saved? linear = layout.Gate is null ? null : llm.GetValue($"mlp_pre_linear.{last}").Save();
        Saved act = llm.GetValue($"mlp_act.{last}").Save(), output = llm.GetValue($"mlp_out.{last}").Save();
        Saved input = layer.Mlp.WIn.Save(), down = layer.Mlp.WOut.Save();
        Saved? gate = layout.Gate is null ? null : layer.Mlp.WGate.Save();
        await t.RunAsync(Cancel);
        Near(linear ?? pre, Product(x, input), "WIn");
        if (gate is not null) Near(pre, Product(x, gate), "WGate");
        Near(output.Tensor.Reshape([6, -1]), Product(act, down).Reshape([6, -1]), "WOut");
        Assert.Equal(input.Tensor.Shape[1], down.Tensor.Shape[0]);
    }

    [Theory, MemberData(nameof(Decoders))]
    public async Task DirectLogitAttribution_AddsUpToTheLogits(string name)
    {
        LanguageModel llm = Open(name);
        ModuleInfo[] layers = [.. llm.Layers.Select(layer => Module(llm, layer.Path))];
        bool hasHeads = layers.All(layer => layer.Find(llm.Description.Names.Attention)?.Attention is not null);
        if (layers.Any(layer => layer.Residual.Kind is ResidualKind.Normalized) || !hasHeads)
        {
            using Trace other = llm.Trace(_prompt);
            Assert.ThrowsAny<NdifException>(() => llm.DirectLogitAttribution([4], [9]));
            return;
        }
        using Trace t = llm.Trace();
        LogitAttribution one, two;
        Saved logits;
        using (t.Invoke(_prompt)) one = llm.DirectLogitAttribution([4], [9]);
        using (t.Invoke(new int[][] { _prompt, [.. _prompt.Reverse()] })) two = llm.DirectLogitAttribution([4, 17], position: ^2);
        using (t.Invoke(new int[][] { _prompt, [.. _prompt.Reverse()] })) logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        TensorData all = logits.Tensor;
        Assert.Equal(all[0, ^1, 4].Item<float>() - all[0, ^1, 9].Item<float>(), one.Logit.Tensor[0].Item<float>(), 1e-4);
        Assert.Equal(all[0, ^2, 4].Item<float>(), two.Logit.Tensor[0].Item<float>(), 1e-4);
        Assert.Equal(all[1, ^2, 17].Item<float>(), two.Logit.Tensor[1].Item<float>(), 1e-4);
        foreach (LogitAttribution attribution in (LogitAttribution[])[one, two])
        {
            for (int row = 0; row < attribution.Logit.Tensor.Shape[0]; row++)
            {
                float sum = attribution.Embed.Tensor[row].Item<float>() + attribution.Bias.Tensor[row].Item<float>()
                    + attribution.Attention.Tensor[row].ToArray<float>().Sum() + attribution.Mlp.Tensor[row].ToArray<float>().Sum();
                Assert.Equal(attribution.Logit.Tensor[row].Item<float>(), sum, 2e-3);
            }
        }
        Assert.Equal([1, llm.Config.Layers, llm.Config.Heads], one.Heads.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Decoders))]
    public async Task TheHeadsOfALayer_AddUpToItsAttention(string name)
    {
        LanguageModel llm = Open(name, WithoutBiases);
        ModuleInfo[] layers = [.. llm.Layers.Select(layer => Module(llm, layer.Path))];
        if (layers.Any(layer => layer.Residual.Kind is ResidualKind.Normalized
            || layer.Find(llm.Description.Names.Attention)?.Attention is null)) return; // no attribution; see above
        using Trace t = llm.Trace(_prompt);
        LogitAttribution attribution = llm.DirectLogitAttribution([4]);
        await t.RunAsync(Cancel);
        for (int layer = 0; layer < llm.Config.Layers; layer++)
            Assert.Equal(attribution.Attention.Tensor[0, layer].Item<float>(),
                attribution.Heads.Tensor[0, layer].ToArray<float>().Sum(), 2e-3);
    }

    [Fact]
    public void Config_HasTheSizes_WithoutWeights()
    {
        ModelConfig gpt2 = Open("gpt2").Config, llama = Open("llama wide heads").Config, opt = Open("opt norm after").Config;
        Assert.Equal((2, 4, 4, 4, 16, 64, 40, 48), (gpt2.Layers, gpt2.Heads, gpt2.KvHeads, gpt2.HeadDim, gpt2.Hidden, gpt2.Intermediate,
            gpt2.Vocab, gpt2.Context));
        Assert.Equal((2, 4, 2, 6, 16, 24, null, DType.Float32), (llama.Layers, llama.Heads, llama.KvHeads, llama.HeadDim, llama.Hidden,
            llama.Intermediate, llama.Window, llama.DType));
        Assert.Equal((4, 16), (opt.Heads, opt.Hidden)); // its embedding has 8
        Assert.Equal(3, Open("gemma2").Config.Window);
        Assert.Equal(5, Open("Mistral", TinyModel.LikeLlama("MistralForCausalLM", 2, 2)).Config.Window);
        Assert.Equal((0, 16), (Open("mamba").Config.Heads, Open("mamba").Config.Hidden));
        Assert.Equal("GPT2LMHeadModel: layers 2, heads 4, kvHeads 4, headDim 4, hidden 16, intermediate 64, vocab 40, context 48, "
            + "window -, Float32", gpt2.ToString());
        Assert.Equal(16, gpt2.Json.GetProperty("n_embd").GetInt32());
    }

    [Fact]
    public void OtherLayers_HaveNoNamesForTheirStreams()
    {
        foreach (string name in (string[])["gemma3n", "mamba", "rwkv", "nemotron_h"])
        {
            LanguageModel llm = Open(name);
            using Trace t = llm.Trace(_prompt);
            Assert.Contains("not known", ErrorOf(() => llm.Layers[0].ResidMid), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("BertModel"), InlineData("DistilBertModel"), InlineData("ModernBertModel"), InlineData("DebertaV2Model")]
    public async Task AnEncoder_HasTheSameNames(string name)
    {
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2), 5, WithoutBiases);
        var model = new SequenceModel(_folder.Path, remote: Backend.Local);
        Envoy layer = model.Layers[0];
        ResidualLayout layout = model.Description.Root.Find(layer.Path)!.Residual;
        using Trace t = model.Trace(_prompt);
        Saved x = layer.Attn.Input.Save(), values = Op.Einsum("bsm,hmd->bshd", [x, layer.Attn.WV]).Save(), v = layer.V.Value.Save();
        Saved pattern = layer.Pattern.Save(), z = layer.Heads.Value.Save();
        Saved output = layer.Get(layout.Attention).Hidden.Save(), written = Op.Einsum("bshd,hdm->bsm", [z, layer.Attn.WO]).Save();
        Saved mid = layer.ResidMid.Save(), post = layer.ResidPost.Save();
        await t.RunAsync(Cancel);
        Near(v, values, "WV");
        Near(output, written, "WO");
        Assert.Equal([1, model.Config.Heads, 6, 6], pattern.Tensor.Shape.ToArray());
        Assert.Equal([1, 6, model.Config.Hidden], mid.Tensor.Shape.ToArray());
        Assert.False(mid.Tensor.SameAs(post));
    }

    private LanguageModel Open(string name, string config) => Open(name, null, config);

    private LanguageModel Open(string name, Action<Dictionary<string, Tensor>>? change = null, string? config = null)
    {
        string path = _folder.File(name.Replace(' ', '-'));
        using TempFolder written = new();
        TinyModel.Write(written, config ?? TinyConfigs.Of(name, 2), 5, change);
        Directory.CreateDirectory(path);
        foreach (string file in Directory.GetFiles(written.Path))
            File.Copy(file, Path.Combine(path, Path.GetFileName(file)), overwrite: true);
        return new LanguageModel(path, remote: Backend.Local);
    }

    private static string ErrorOf(Func<object?> read) => Assert.Throws<BadProgramException>(read).Message;

    private static void WithoutBiases(Dictionary<string, Tensor> weights)
    {
        foreach (string name in weights.Keys.Where(name => name.EndsWith("bias", StringComparison.Ordinal)).ToArray())
            weights[name] = zeros_like(weights[name]);
    }

    private static ModuleInfo Module(LanguageModel llm, string path) => llm.Description.Root.Find(path)!;

    private static TensorData Product(TensorData x, TensorData weight)
    {
        using var scope = NewDisposeScope();
        return matmul(x.ToTorch(), weight.ToTorch()).ToData();
    }

    private static void SameLengths(TensorData a, TensorData b, string what)
    {
        using var scope = NewDisposeScope();
        Tensor lengths = a.ToTorch().norm(-1), expected = b.ToTorch().norm(-1), ratio = lengths / expected; // [batch, seq, heads]
        Assert.True((ratio / ratio.mean() - 1).abs().max().item<float>() < 1e-3, $"{what}: {ratio}");
    }

    private static void Near(TensorData expected, TensorData actual, string what)
    {
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        double scale = Math.Max(1, expected.ToArray<float>().Max(Math.Abs));
        Assert.True(expected.MaxAbsDifference(actual) < 1e-4 * scale, $"{what}: {expected.MaxAbsDifference(actual)}");
    }
}
