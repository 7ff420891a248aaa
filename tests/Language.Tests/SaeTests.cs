using System.Text;
using Ndif.Dictionaries;
using Ndif.Protocol;
using static Ndif.Language.Tests.Support.SaeFolder;

namespace Ndif.Language.Tests;

/// <summary>Folders of SAELens as modules of a model. The expected numbers are computed here, from SAELens's definitions.</summary>
public sealed class SaeTests(ServiceFixture service) : LanguageTests(service)
{
    private const int Layer = 1;

    /// <summary>Encodes a vector that is prepared already: [inputs] to [features].</summary>
    private delegate double[] Encoder(SaeFolder folder, double[] x);

    /// <summary>Name, folder and encoder of each kind.</summary>
    private static readonly Dictionary<string, (Func<SaeFolder> Folder, Encoder Encode)> _kinds = new()
    {
        ["standard"] = (() => new("standard", []), (f, x) => Relu(Pre(f, x))),
        ["standard, no input bias"] = (() => new("standard", new() { ["apply_b_dec_to_input"] = false }), (f, x) => Relu(Pre(f, x))),
        ["layer_norm"] = (() => new("standard", new() { ["normalize_activations"] = "layer_norm" }), (f, x) => Relu(Pre(f, x))),
        ["constant_norm_rescale"] = (() => new("standard", new() { ["normalize_activations"] = "constant_norm_rescale" }),
            (f, x) => Relu(Pre(f, x))),
        ["topk"] = (() => new("topk", new() { ["k"] = 5 }), (f, x) => TopK(Pre(f, x), 5)),
        ["topk of SAELens 5"] = (() => new("standard",
                new() { ["activation_fn_str"] = "topk", ["activation_fn_kwargs"] = new Dictionary<string, object?> { ["k"] = 7 } }),
            (f, x) => TopK(Pre(f, x), 7)),
        ["topk, rescaled"] = (() => new("topk", new() { ["k"] = 5, ["rescale_acts_by_decoder_norm"] = true }),
            (f, x) => TopK([.. Pre(f, x).Zip(Norms(f), (a, b) => a * b)], 5)),
        ["batchtopk in training"] = (() => new("batchtopk", new() { ["k"] = 4.5 },
                new() { ["topk_threshold"] = TensorData.FromArray([0.4], 1).Reshape() }),
            (f, x) => [.. Pre(f, x).Select(p => p > 0.4 ? p : 0)]),
        ["jumprelu"] = (() => new("jumprelu", [], new() { ["threshold"] = TensorData.Randn([Features], 9) }),
            (f, x) => [.. Pre(f, x).Zip(f.Get("threshold"), (p, t) => p > Math.Max(t, 0) ? p : 0)]),
        ["jumprelu in training"] = (() => new("jumprelu", [], new() { ["log_threshold"] = TensorData.Randn([Features], 9) }),
            (f, x) => [.. Pre(f, x).Zip(f.Get("log_threshold"), (p, t) => p > Math.Exp(t) ? p : 0)]),
        ["gated"] = (() => new("gated", [], new()
            {
                ["b_gate"] = TensorData.Randn([Features], 9), ["b_mag"] = TensorData.Randn([Features], 10),
                ["r_mag"] = TensorData.Randn([Features], 11) * 0.3,
            }),
            (f, x) =>
            {
                double[] projected = Multiply(x, f.Get("W_enc")), gate = f.Get("b_gate"), bias = f.Get("b_mag"), scale = f.Get("r_mag");
                return [.. projected.Select((p, i) => p + gate[i] > 0 ? Math.Max(0, p * Math.Exp(scale[i]) + bias[i]) : 0)];
            }),
        ["finetuned"] = (() => new("standard", new() { ["finetuning_scaling_factor"] = true },
            new() { ["scaling_factor"] = TensorData.Randn([Features], 9) * 0.1 + 1 }), (f, x) => Relu(Pre(f, x))),
        ["transcoder"] = (() => new("transcoder", []), (f, x) => Relu(Pre(f, x))),
        ["jumprelu_skip_transcoder"] = (() => new("jumprelu_skip_transcoder", [], new()
            {
                ["threshold"] = TensorData.Randn([Features], 9) * 0.1 + 0.3, ["W_skip"] = TensorData.Randn([Size, Size], 10) * 0.1,
            }),
            (f, x) => [.. Pre(f, x).Zip(f.Get("threshold"), (p, t) => p > Math.Max(t, 0) ? p : 0)]),
    };

    public static TheoryData<ExecutionMode, string> Kinds()
    {
        TheoryData<ExecutionMode, string> all = [];
        foreach (string kind in _kinds.Keys)
            foreach (ExecutionMode mode in (ExecutionMode[])[ExecutionMode.Local, ExecutionMode.Gateway])
                all.Add(mode, kind);
        return all;
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task EachKind_ComputesWhatSaeLensDoes_AndSplicingItChangesNothing(ExecutionMode mode, string kind)
    {
        using SaeFolder folder = _kinds[kind].Folder();
        LanguageModel llm = Model(mode);
        AttachedSae sae = llm.Layers[Layer].AttachSae(folder.Path);
        LanguageModel spliced = sae.SpliceInto(llm);
        TensorData expected = await LogitsAsync(llm, Paris);
        using Trace t = spliced.Trace();
        Saved features, reconstruction, error, target, logits;
        using (t.Invoke(Paris))
        {
            features = sae.Features.Save();
            (reconstruction, error) = (sae.Reconstruction.Save(), sae.Error.Save());
            (target, logits) = (sae.Target.Save(), llm.LmHead.Output.Save());
        }
        await t.RunAsync(Cancel);

        Near(expected, logits, 1e-3);
        Near(target, reconstruction.Tensor + error.Tensor, 1e-4); // the site is what its parts add up to
        // without the edit the input is that of the plain model
        (Saved plain, Saved plainTarget) =
            await llm.TraceAsync(Paris, _ => (sae.Input.Save(), sae.Target.Save()), cancellationToken: Cancel);
        Near(plainTarget, target, 1e-4);
        for (int position = 0; position < plain.Tensor.Shape[1]; position++)
        {
            double[] x = plain.Tensor[0, position].ToArray<double>();
            (double[] prepared, Func<double[], double[]> restore) = Prepare(folder, x);
            double[] activations = _kinds[kind].Encode(folder, prepared);
            Near(Vector(activations), features.Tensor[0, position], 1e-4);
            Near(Vector(restore(Decode(folder, activations, x))), reconstruction.Tensor[0, position], 1e-4);
        }
        NotZero(features);
    }

    public static TheoryData<string> KindNames => [.. _kinds.Keys];

    [Theory, MemberData(nameof(KindNames))]
    public void ADictionaryThatIsSaved_IsReadAgain(string kind)
    {
        using SaeFolder folder = _kinds[kind].Folder();
        string copy = Directory.CreateTempSubdirectory("ndif-sae-copy-").FullName;
        try
        {
            LanguageModel llm = Model(ExecutionMode.Local);
            AttachedSae first = llm.AttachSae(folder.Path);
            first.Sae.Save(copy);
            AttachedSae second = llm.AttachSae(copy);
            Assert.Equal(first.Sae.Config, second.Sae.Config);
            Assert.Equal(folder.Weights.Keys.Order(StringComparer.Ordinal), second.Sae.Weights.Given.Keys.Order(StringComparer.Ordinal));
            Assert.All(folder.Weights, weight => Same(weight.Value, second.Sae.Weights.Given[weight.Key]));
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AFeature_IsAblatedAndSteered_AlongItsDirection(ExecutionMode mode)
    {
        using SaeFolder folder = new("standard", []);
        LanguageModel llm = Model(mode);
        AttachedSae sae = llm.AttachSae(folder.Path); // the config names the layer
        LanguageModel spliced = sae.SpliceInto(llm);
        (Saved features, Saved before) = await spliced.TraceAsync(Paris, _ => (sae.Features.Save(), llm.Layers[1].Hidden.Save()),
            cancellationToken: Cancel);
        int strongest = (int)features.Tensor[0, ^1].ArgMax().Item<long>();
        double activation = features.Tensor[0, ^1, strongest].Item<float>();

        using Trace t = spliced.Trace();
        Saved ablated, steered, without;
        using (t.Invoke(Paris))
        {
            sae.Features[.., ^1, strongest] = 0;
            ablated = llm.Layers[1].Hidden.Save();
        }
        using (t.Invoke(Paris))
        {
            sae.Features[.., ^1, strongest] += 3;
            steered = llm.Layers[1].Hidden.Save();
        }
        using (t.Invoke(Paris))
        {
            Value reconstruction = sae.Reconstruction;
            sae.Error = Op.ZerosLike(sae.Error);
            without = (llm.Layers[1].Hidden - reconstruction).Save();
        }
        await t.RunAsync(Cancel);
        TensorData direction = sae.Sae.GetDirection(strongest);
        Near(before.Tensor[0, ^1] - direction * activation, ablated.Tensor[0, ^1], 1e-4);
        Near(before.Tensor[0, ^1] + direction * 3, steered.Tensor[0, ^1], 1e-4);
        Near(before.Tensor[0, 0], steered.Tensor[0, 0], 1e-4);
        Near(before.Tensor * 0, without, 1e-5);
    }

    [Theory]
    [InlineData("hook_resid_pre"), InlineData("hook_resid_post"), InlineData("hook_mlp_out"), InlineData("hook_attn_out")]
    [InlineData("attn.hook_z"), InlineData("mlp.hook_in")]
    public async Task EverySiteOfALayer_CanBeSpliced(string hook)
    {
        using SaeFolder folder = new("standard", new()
        {
            ["metadata"] = new Dictionary<string, object?> { ["hook_name"] = $"blocks.2.{hook}" },
        });
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedSae sae = llm.AttachSae(folder.Path);
        Assert.Equal("transformer.h.2.sae", sae.Module.Path);
        TensorData expected = await LogitsAsync(llm, Paris);
        LanguageModel spliced = sae.SpliceInto(llm);
        Near(expected, await LogitsAsync(spliced, Paris), 1e-3);
        Saved changed = await spliced.TraceAsync(Paris, _ =>
        {
            sae.Features[..] = 5;
            return llm.LmHead.Output.Save();
        }, cancellationToken: Cancel);
        Assert.True(expected.MaxAbsDifference(changed) > 0.1);
        Near(await LogitsAsync(llm, Paris), expected, 0);
        Assert.Contains("(sae): SparseAutoencoder(", llm.ToString(), StringComparison.Ordinal);
        Assert.Contains("(encoder): Linear(in_features=128, out_features=48, bias=True)", llm.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheMiddleOfALayer_IsRead_AndHalfPrecisionIsComputedInIt()
    {
        using SaeFolder folder = new("transcoder", new() { ["dtype"] = "bfloat16" });
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedSae sae = llm.Layers[0].AttachSae(folder.Path, hook: "hook_resid_mid", hookOut: "hook_mlp_out");
        (Saved middle, Saved attention, Saved before, Saved features) = await llm.TraceAsync(Paris, _ =>
        {
            Saved before = llm.Layers[0].Input.Save(), attention = llm.Layers[0].Attn.Hidden.Save();
            return (sae.Input.Save(), attention, before, sae.Encode().Save());
        }, cancellationToken: Cancel);
        Near(before.Tensor + attention.Tensor, middle, 1e-5);
        Assert.Equal(DType.BFloat16, features.Tensor.Type);
        TensorData expected = await LogitsAsync(llm, Paris);
        Near(expected, await LogitsAsync(sae.SpliceInto(llm), Paris), 0.5);
    }

    [Fact]
    public async Task TheFactorOfTheInputs_IsFoldedIntoTheWeights()
    {
        using SaeFolder folder = new("standard", new() { ["normalize_activations"] = "expected_average_only_in" });
        LanguageModel llm = Model(ExecutionMode.Local);
        Assert.Contains("normScalingFactor", Assert.Throws<BadProgramException>(() => llm.AttachSae(folder.Path)).Message,
            StringComparison.Ordinal);
        AttachedSae sae = llm.AttachSae(folder.Path, normScalingFactor: 0.25);
        (Saved x, Saved features) = await llm.TraceAsync(Paris, _ => (sae.Input.Save(), sae.Encode().Save()), cancellationToken: Cancel);
        double[] bias = folder.Get("b_dec");
        double[] scaled = [.. x.Tensor[0, 3].ToArray<double>().Select((v, i) => v * 0.25 - bias[i])];
        Near(Vector(Relu(Pre(folder, scaled))), features.Tensor[0, 3], 1e-4);
    }

    [Fact]
    public void AnId_IsFoundInTheCacheOfTheHub()
    {
        using SaeFolder folder = new("standard", []);
        string cache = Directory.CreateTempSubdirectory("ndif-hub-").FullName, repository = Path.Combine(cache, "models--someone--saes");
        string snapshot = Path.Combine(repository, "snapshots", "abc123", "blocks.1.hook_resid_post");
        string? before = Environment.GetEnvironmentVariable("HF_HUB_CACHE");
        try
        {
            Directory.CreateDirectory(snapshot);
            Directory.CreateDirectory(Path.Combine(repository, "refs"));
            File.WriteAllText(Path.Combine(repository, "refs", "main"), "abc123");
            foreach (string file in Directory.EnumerateFiles(folder.Path)) File.Copy(file, Path.Combine(snapshot, Path.GetFileName(file)));
            Environment.SetEnvironmentVariable("HF_HUB_CACHE", cache);
            LanguageModel llm = Model(ExecutionMode.Local);
            Assert.Equal(Features, llm.AttachSae("someone/saes/blocks.1.hook_resid_post").Sae.Config.Features);
            var missing = Assert.Throws<NdifException>(() => llm.AttachSae("someone/saes/blocks.2.hook_resid_post"));
            Assert.Equal(ErrorCode.UnknownModel, missing.Code);
            Assert.Contains("hf download someone/saes --include \"blocks.2.hook_resid_post*\"", missing.Message, StringComparison.Ordinal);
            foreach (string hostile in (string[])["", "someone/saes/../../x", "../someone", "someone/saes/a//b", "/nowhere/at all"])
                Assert.Equal(ErrorCode.UnknownModel, Assert.Throws<NdifException>(() => llm.AttachSae(hostile)).Code);
        }
        finally
        {
            Environment.SetEnvironmentVariable("HF_HUB_CACHE", before);
            Directory.Delete(cache, recursive: true);
        }
    }

    [Theory]
    [InlineData("architecture", "temporal", ErrorCode.Unsupported, "temporal")]
    [InlineData("architecture", 7, ErrorCode.BadCheckpoint, "`architecture` is not a text")]
    [InlineData("normalize_activations", "sometimes", ErrorCode.Unsupported, "sometimes")]
    [InlineData("activation_fn", "tanh-relu", ErrorCode.Unsupported, "tanh-relu")]
    [InlineData("hook_head_index", 3, ErrorCode.Unsupported, "attention head 3")]
    [InlineData("dtype", "int4", ErrorCode.Unsupported, "int4")]
    [InlineData("d_in", 64, ErrorCode.BadCheckpoint, "`W_enc` with shape [128, 48]; its config says [64, 48]")]
    [InlineData("d_sae", -1, ErrorCode.BadCheckpoint, "`d_sae` is -1")]
    [InlineData("d_sae", null, ErrorCode.BadCheckpoint, "`d_sae` is missing")]
    [InlineData("d_sae", 2000000000, ErrorCode.BadCheckpoint, "its config says [128, 2000000000]")]
    [InlineData("hook_name", "blocks.3.hook_resid_post", ErrorCode.BadArgument, "belongs to layer 3")]
    [InlineData("hook_name", "blocks.1.hook_nowhere", ErrorCode.Unsupported, "hook_nowhere")]
    [InlineData("norm_scaling_factor", 0, ErrorCode.BadCheckpoint, "norm_scaling_factor 0")]
    public void AConfigThatCannotBe_IsAClearError(string key, object? value, ErrorCode code, string message)
    {
        using SaeFolder folder = new("standard", new() { [key] = value });
        AssertRefused(folder, code, message);
    }

    [Fact]
    public void AFolderThatIsDamaged_IsAClearError()
    {
        using SaeFolder folder = new("standard", []);
        byte[] weights = File.ReadAllBytes(folder.WeightsFile);
        string config = File.ReadAllText(folder.ConfigFile);
        foreach (int length in (int[])[0, 7, 8, 40, weights.Length - 1])
        {
            File.WriteAllBytes(folder.WeightsFile, weights[..length]);
            AssertRefused(folder, ErrorCode.BadCheckpoint, "sae_weights.safetensors");
        }
        foreach (string header in (string[])["[]", "{", "{\"W_enc\":3}",
            "{\"W_enc\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
            "{\"W_enc\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}",
            "{\"W_enc\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
            "{\"W_enc\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}",
            "{\"W_enc\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", "{\"a\":1,\"a\":2}"])
        {
            byte[] json = Encoding.UTF8.GetBytes(header);
            File.WriteAllBytes(folder.WeightsFile, [.. BitConverter.GetBytes((ulong)json.Length), .. json, 0, 0, 0, 0]);
            AssertRefused(folder, ErrorCode.BadCheckpoint, "sae_weights.safetensors");
        }
        File.WriteAllBytes(folder.WeightsFile, weights);
        foreach (string text in (string[])["", "{", "[]", "null", "\"x\""])
        {
            File.WriteAllText(folder.ConfigFile, text);
            AssertRefused(folder, ErrorCode.BadCheckpoint, "cfg.json");
        }
        File.WriteAllText(folder.ConfigFile, config);
        Assert.NotNull(Model(ExecutionMode.Local).AttachSae(folder.Path));
        folder.Weights.Remove("b_enc");
        folder.Save();
        AssertRefused(folder, ErrorCode.BadCheckpoint, "has no `b_enc`");
        File.Delete(folder.WeightsFile);
        AssertRefused(folder, ErrorCode.BadCheckpoint, "has no sae_weights.safetensors");
    }

    [Fact]
    public void AScalingFactorThatTheConfigDenies_IsAnError()
    {
        using SaeFolder folder = new("standard", [], new() { ["scaling_factor"] = TensorData.Full([Features], 2) });
        AssertRefused(folder, ErrorCode.BadCheckpoint, "scaling_factor that is not 1");
    }

    [Fact]
    public void WhatIsNoLayer_TakesNoDictionary()
    {
        using SaeFolder folder = new("standard", []);
        LanguageModel llm = Model(ExecutionMode.Local);
        Assert.Contains("is not a layer", Assert.Throws<BadProgramException>(() => llm.FinalNorm.AttachSae(folder.Path)).Message,
            StringComparison.Ordinal);
        Assert.Throws<IndexOutOfRangeException>(() => llm.AttachSae(folder.Path).Sae.GetDirection(Features));
    }

    private void AssertRefused(SaeFolder folder, ErrorCode code, string message)
    {
        Exception error = Assert.ThrowsAny<Exception>(() => Model(ExecutionMode.Local).Layers[Layer].AttachSae(folder.Path));
        Assert.Equal(code, Errors.FromException(error).Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static double[] Pre(SaeFolder folder, double[] x) =>
        [.. Multiply(x, folder.Get("W_enc")).Zip(folder.Get("b_enc"), (a, b) => a + b)];

    private static double[] Relu(double[] x) => [.. x.Select(v => Math.Max(v, 0))];

    private static double[] TopK(double[] x, int k)
    {
        double least = x.OrderDescending().ElementAt(k - 1);
        return [.. x.Select(v => v >= least ? Math.Max(v, 0) : 0)];
    }

    private static double[] Norms(SaeFolder folder) =>
        [.. folder.Get("W_dec").Chunk(Size).Select(row => Math.Sqrt(row.Sum(v => v * v)))];

    private static (double[] X, Func<double[], double[]> Restore) Prepare(SaeFolder folder, double[] x)
    {
        Func<double[], double[]> restore = y => y;
        if (folder.Config["normalize_activations"] is "layer_norm")
        {
            double mean = x.Average(), deviation = Math.Sqrt(x.Sum(v => (v - mean) * (v - mean)) / (x.Length - 1));
            x = [.. x.Select(v => (v - mean) / (deviation + 1e-5))];
            restore = y => [.. y.Select(v => v * deviation + mean)];
        }
        else if (folder.Config["normalize_activations"] is "constant_norm_rescale")
        {
            double factor = Math.Sqrt(x.Length) / Math.Sqrt(x.Sum(v => v * v));
            x = [.. x.Select(v => v * factor)];
            restore = y => [.. y.Select(v => v / factor)];
        }
        return folder.Config["apply_b_dec_to_input"] is true ? ([.. x.Zip(folder.Get("b_dec"), (a, b) => a - b)], restore) : (x, restore);
    }

    private static double[] Decode(SaeFolder folder, double[] activations, double[] input)
    {
        if (folder.Weights.ContainsKey("scaling_factor"))
            activations = [.. activations.Zip(folder.Get("scaling_factor"), (a, b) => a * b)];
        if (folder.Config.GetValueOrDefault("rescale_acts_by_decoder_norm") is true)
            activations = [.. activations.Zip(Norms(folder), (a, b) => a / b)];
        double[] output = [.. Multiply(activations, folder.Get("W_dec")).Zip(folder.Get("b_dec"), (a, b) => a + b)];
        if (!folder.Weights.ContainsKey("W_skip")) return output;
        double[] skip = folder.Get("W_skip"); // [outputs, inputs]
        return [.. output.Select((v, j) => v + input.Select((x, i) => x * skip[j * input.Length + i]).Sum())];
    }

    private static TensorData Vector(double[] values) => TensorData.FromArray(Array.ConvertAll(values, v => (float)v));
}
