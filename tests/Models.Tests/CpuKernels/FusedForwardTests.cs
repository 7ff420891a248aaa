using System.Globalization;
using System.Text.RegularExpressions;
using Ndif.Models.CpuKernels;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>
/// Fused attention and MLP against the eager implementations, for every architecture and option, at sizes that the kernels support.
/// </summary>
public sealed partial class FusedForwardTests
{
    /// <summary>The architectures with an attention or MLP that is not fused, and how many of the two in a layer are fused.</summary>
    private static readonly Dictionary<string, int> _fusedCallsPerLayer = new()
    {
        ["bloom"] = 0, ["bloom norm residual"] = 0, ["gpt_neo"] = 1, ["gptj"] = 1, ["falcon alibi"] = 1, ["phi qk norm"] = 1,
        ["stablelm parallel"] = 1,
        ["codegen"] = 1, ["mpt"] = 0, ["mpt clipped"] = 0, ["xglm"] = 1, ["xglm not scaled"] = 1,
        ["biogpt"] = 1, ["rwkv"] = 0, ["rwkv rescaled"] = 0, ["recurrent_gemma"] = 1,
        ["t5"] = 1, ["t5 gated"] = 1, ["mt5"] = 1, ["bart"] = 1,
        ["opt"] = 1, ["opt norm after"] = 1, ["opt bare"] = 1, ["Mixtral"] = 1, ["Qwen2Moe"] = 1, ["Qwen3Moe"] = 1,
        ["qwen2 moe dense layers"] = 1, ["qwen3 moe dense layers"] = 1,
        ["mamba"] = 0, ["falcon_mamba"] = 0, ["mamba2"] = 0, ["falcon_h1"] = 0, ["jamba"] = 0, ["nemotron_h"] = 0, ["lfm2"] = 0,
        ["lfm2_moe"] = 0, ["GptOss"] = 0,
        ["Apertus"] = 1, ["Arcee"] = 1, ["Nemotron"] = 1, ["GraniteMoe"] = 1, ["GraniteMoeShared"] = 1, ["HunYuanMoEV1"] = 1,
        ["MiniMaxM2"] = 1, ["Olmoe"] = 1, ["Phimoe"] = 1, ["bamba"] = 1, ["cohere qk norm"] = 1, ["deepseek_v2"] = 1, ["deepseek_v3"] = 1,
        ["glm4_moe_lite"] = 1, ["granitemoehybrid"] = 0, ["hunyuan alpha"] = 1, ["llama4"] = 0, ["Llama4 with images"] = 0,
        ["ministral3 scaled"] = 1, ["mistral4"] = 1, ["olmo clipped"] = 1, ["qwen3_5"] = 1, ["qwen3_5_moe"] = 1, ["qwen3_next"] = 1,
        ["gemma3n"] = 1, ["Gemma3n with images"] = 1, ["gemma4"] = 1, ["gemma4 moe"] = 1, ["Gemma4 with images"] = 1,
        ["Qwen3_5 with images"] = 1, ["Qwen3_5Moe with images"] = 1,
        ["DebertaV2Model"] = 0, ["DebertaV2ForMaskedLM"] = 0, ["DebertaV2ForSequenceClassification"] = 0,
        ["DebertaV2ForTokenClassification"] = 0, ["deberta_v2 positions"] = 0, ["deberta_v2 one way"] = 0,
    };

    public static TheoryData<string, CpuCapability> Models => Of(CpuCapability.Avx2, CpuCapability.Avx512);

    public static TheoryData<string, CpuCapability> ModelsOfBFloat16 =>
        Of(CpuCapability.Avx2, CpuCapability.Avx512, CpuCapability.Avx512BFloat16);

    /// <summary>A pass with autograd uses libtorch only.</summary>
    [Theory, MemberData(nameof(Models))]
    public void Fused_IsLibtorchs(string name, CpuCapability capability) =>
        Compare(name, capability, ScalarType.Float32, tolerance: 2e-5, (model, run) =>
    {
        using var graph = enable_grad();
        return run();
    });

    /// <summary>Hooked modules run one by one and round their outputs.</summary>
    [Theory, MemberData(nameof(ModelsOfBFloat16))]
    public void Fused_IsThePlainForward_InBFloat16(string name, CpuCapability capability) =>
        Compare(name, capability, ScalarType.BFloat16, tolerance: 0.03, RunHooked);

    [Theory, MemberData(nameof(Models))]
    public void Fused_IsThePlainForward(string name, CpuCapability capability) =>
        Compare(name, capability, ScalarType.Float32, tolerance: 2e-5, RunHooked);

    [Theory, InlineData("llama"), InlineData("gpt2")]
    public void WithoutVectors_NothingIsFused(string name)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(CpuCapability.Default);
        using TempFolder folder = new();
        TinyModel.Write(folder, Widened(name, 1), 1, Smaller);
        using LoadedModel model = TinyModel.Load(folder.Path, ScalarType.Float32);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        long before = FastPathCounter.Count;
        Pass(model);
        Assert.Equal(before, FastPathCounter.Count);
    }

    [Theory]
    [InlineData(ScalarType.Float32, CpuCapability.Avx2), InlineData(ScalarType.BFloat16, CpuCapability.Avx2),
        InlineData(ScalarType.Float32, CpuCapability.Avx512), InlineData(ScalarType.BFloat16, CpuCapability.Avx512),
        InlineData(ScalarType.BFloat16, CpuCapability.Avx512BFloat16)]
    public void WhoWatchesTheAttention_SeesItsProbabilities(ScalarType type, CpuCapability capability)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using TempFolder folder = new();
        TinyModel.Write(folder, Widened("llama", 2), change: Smaller);
        using LoadedModel model = TinyModel.Load(folder.Path, type);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = TinyModel.Ids(2, 5, 3);
        using Tensor fused = Seen(inside: false), plain = Seen(inside: true);
        Assert.Equal([2, 4, 5, 5], fused.shape);
        Assert.Equal(type, fused.dtype);
        Assert.InRange(TinyModel.Difference(fused.to(ScalarType.Float32), plain.to(ScalarType.Float32)), 0, type == ScalarType.Float32
            ? 1e-6 : 0.01);

        Tensor Seen(bool inside)
        {
            var observers = new SiteHook?[model.Modules.Count];
            var seen = new ProbabilityRecorder { Keeps = true };
            SiteModule attention = model.Module("model.layers.1.self_attn")!;
            observers[attention.Index] = seen;
            if (inside) observers[attention.Index + 1] = new ProbabilityRecorder();
            long before = FastPathCounter.Count;
            using (SiteHook.Register(observers)) TinyModel.Logits(model, ids);
            Assert.Equal(before + (inside ? 3 : 4), FastPathCounter.Count);
            return seen.Probabilities!;
        }
    }

    private static Tensor RunHooked(LoadedModel model, Func<Tensor> run)
    {
        var everywhere = new SiteHook?[model.Modules.Count];
        Array.Fill(everywhere, new ProbabilityRecorder());
        long before = FastPathCounter.Count;
        using var watching = SiteHook.Register(everywhere);
        Tensor result = run();
        // a forward without child modules has nothing that could be hooked
        Assert.Equal(before, FastPathCounter.Count);
        return result;
    }

    /// <summary>A prompt of two rows, one of them padded; decode steps of one token; a long prompt without a cache.</summary>
    private static void Compare(string name, CpuCapability capability, ScalarType type, double tolerance,
        Func<LoadedModel, Func<Tensor>, Tensor> plain)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        foreach (int shape in (int[])[1, 2])
        {
            using TempFolder folder = new();
            TinyModel.Write(folder, Widened(name, shape), shape, Smaller);
            using LoadedModel model = TinyModel.Load(folder.Path, type);
            using var scope = NewDisposeScope();
            using var nothing = no_grad();
            long before = FastPathCounter.Count;
            Tensor fused = Pass(model);
            long calls = (FastPathCounter.Count - before) / Passes;
            Assert.InRange(calls, _fusedCallsPerLayer.GetValueOrDefault(name, 2) * (name == "gpt_neo" ? 2L : 1), long.MaxValue);
            Tensor expected = plain(model, () => Pass(model));
            Assert.Equal(type, fused.dtype);
            double largest = expected.abs().max().to(ScalarType.Float32).item<float>(),
                difference = TinyModel.Difference(fused.to(ScalarType.Float32), expected.to(ScalarType.Float32));
            Assert.True(difference <= tolerance * largest, $"{name}, shape {shape}: {difference} of {largest}");
        }
    }

    private static TheoryData<string, CpuCapability> Of(params CpuCapability[] capabilities)
    {
        TheoryData<string, CpuCapability> models = [];
        foreach (CpuCapability capability in capabilities)
            foreach (string name in TinyConfigs.Names.Where(name => name != "phi3 longrope")) models.Add(name, capability);
        return models;
    }

    /// <summary>The passes of <see cref="Pass"/>.</summary>
    private const int Passes = 5;

    /// <returns>[seq, vocab]</returns>
    private static Tensor Pass(LoadedModel model)
    {
        if (model.Root.Task is not Protocol.ModelTask.CausalLm) return PassWithoutCache(model);
        Tensor ids = TinyModel.Ids(2, 12, 5), mask = ones_like(ids);
        mask[0, ..3] = 0;
        using KeyValueCache cache = model.NewCache();
        List<Tensor> logits = [TinyModel.Logits(model, ids.narrow(1, 0, 9), mask.narrow(1, 0, 9), cache).narrow(1, 3, 6).flatten(0, 1)];
        for (int at = 9; at < 12; at++)
            logits.Add(TinyModel.Logits(model, ids.narrow(1, at, 1), mask.narrow(1, 0, at + 1), cache).flatten(0, 1));
        logits.Add(TinyModel.Logits(model, TinyModel.Ids(1, 79, 6)).flatten(0, 1));
        return cat(logits, 0);
    }

    /// <summary>Batches of two rows, one of them padded, and a long row.</summary>
    /// <returns>[values]</returns>
    private static Tensor PassWithoutCache(LoadedModel model)
    {
        List<Tensor> values = [];
        for (int length = 9; length < 9 + Passes - 1; length++)
        {
            Tensor ids = TinyModel.Ids(2, length, 5), mask = ones_like(ids);                    // [2, seq]
            mask[0, (length - 3)..] = 0;
            Tensor output = TinyModel.Logits(model, ids, mask);
            values.Add(model.Root.Task is Protocol.ModelTask.SequenceClassification ? output : output[mask.to(ScalarType.Bool)]);
        }
        values.Add(TinyModel.Logits(model, TinyModel.Ids(1, 79, 6)));
        return cat([.. values.Select(value => value.flatten())], 0);
    }

    /// <summary>
    /// A config with sixteen times the hidden size, so that headDim is a multiple of the vector size, and twice the length, so that there
    /// are more keys than in a panel.
    /// </summary>
    private static string Widened(string name, int shape) =>
        Sizes().Replace(Positions().Replace(TinyConfigs.Of(name, shape), "\"$1\": 128"),
        size => size.Groups[1].Value + (16 * int.Parse(size.Groups[2].Value, CultureInfo.InvariantCulture))
        .ToString(CultureInfo.InvariantCulture));

    [GeneratedRegex(
        "(\"(?:hidden_size|n_embd|n_embed|intermediate_size|ffn_dim|n_inner|head_dim|rotary_dim|moe_intermediate_size|"
        + "shared_expert_intermediate_size|d_ff|word_embed_proj_dim|d_model|lru_width|dim|hidden_dim|embedding_size)\": )(\\d+)")]
    private static partial Regex Sizes();

    [GeneratedRegex("\"(n_positions|max_position_embeddings)\": \\d+")]
    private static partial Regex Positions();

    /// <summary>Scales the weights so that the longer sums are not larger.</summary>
    private static void Smaller(Dictionary<string, Tensor> weights)
    {
        foreach (string name in weights.Keys.ToList()) weights[name] = weights[name] * (weights[name].dim() > 1 ? 0.2 : 1);
    }

    private sealed class ProbabilityRecorder : SiteHook
    {
        public bool Keeps { get; init; }

        public Tensor? Probabilities { get; private set; }

        public override object? Call(SiteModule module, Arguments arguments)
        {
            object? result = module.Run(arguments);
            if (Keeps && result is object?[] and [_, Tensor probabilities] && module.Name == "self_attn")
                Probabilities = probabilities.clone().DetachFromDisposeScope();
            return result;
        }
    }
}
