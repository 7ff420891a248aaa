using Ndif.Dictionaries;
using Ndif.Protocol;
using static Ndif.Language.Tests.Support.SaeFolder;

namespace Ndif.Language.Tests;

/// <summary>Folders of circuit-tracer: config.yaml, and a safetensors file for each layer.</summary>
public sealed class TranscoderTests(ServiceFixture service) : LanguageTests(service), IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-transcoders-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(ExecutionMode.Local, "relu", false), InlineData(ExecutionMode.Gateway, "relu", false)]
    [InlineData(ExecutionMode.Local, "jump_relu", true), InlineData(ExecutionMode.Local, "topk", true)]
    [InlineData(ExecutionMode.Gateway, "topk", false)]
    public async Task ASet_ComputesWhatCircuitTracerDoes_AndSplicingItChangesNothing(ExecutionMode mode, string activation, bool hasSkip)
    {
        Dictionary<string, TensorData>[] weights = [.. Enumerable.Range(0, 4).Select(layer => Weights(layer, activation, hasSkip))];
        WriteConfig($"activation: {activation}", "k: 6");
        for (int layer = 0; layer < 4; layer++) WriteSafetensors(Path.Combine(_folder, $"layer_{layer}.safetensors"), weights[layer]);
        LanguageModel llm = Model(mode);
        AttachedTranscoders transcoders = llm.AttachTranscoders(_folder);
        Assert.Equal(4, transcoders.Count);
        Assert.Equal("transformer.h.3.transcoder", transcoders[3].Module.Path);
        Near(await LogitsAsync(llm, Paris), await LogitsAsync(transcoders.SpliceInto(llm), Paris), 1e-3);

        (Saved input, Saved features, Saved output) = await llm.TraceAsync(Paris, _ =>
        {
            Value input = transcoders[2].Input;
            return (input.Save(), transcoders[2].Encode().Save(), transcoders[2].Sae.Reconstruct(input).Save());
        }, cancellationToken: Cancel);
        for (int position = 0; position < 8; position++)
        {
            double[] x = input.Tensor[0, position].ToArray<double>();
            double[] expected = Encode(weights[2], activation, x);
            Near(Vector(expected), features.Tensor[0, position], 1e-4);
            Near(Vector(Decode(weights[2], expected, x)), output.Tensor[0, position], 1e-4);
        }
    }

    [Fact]
    public async Task FilesThatTheConfigLists_AreRead_AndWithoutErrorTheOutputIsTheFeatures()
    {
        string other = Directory.CreateDirectory(Path.Combine(_folder, "files")).FullName;
        WriteConfig("transcoders:", "  - \"files/a.safetensors\"", "  - files/a.safetensors", "  - 'files/a.safetensors'  ",
            $"  - {other}/a.safetensors", "scan: mine # a comment");
        WriteSafetensors(Path.Combine(other, "a.safetensors"), Weights(1, "relu", false));
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedTranscoders transcoders = llm.AttachTranscoders(_folder);
        LanguageModel replaced = transcoders.SpliceInto(llm, keepError: false);
        (Saved reconstruction, Saved output) = await replaced.TraceAsync(Paris,
            _ => (transcoders[1].Reconstruction.Save(), transcoders[1].Target.Save()), cancellationToken: Cancel);
        Same(reconstruction, output);
        TensorData plain = await LogitsAsync(llm, Paris);
        Assert.True(plain.MaxAbsDifference(await LogitsAsync(replaced, Paris)) > 0.01);
    }

    [Fact]
    public void AFolderThatCannotBe_IsAClearError()
    {
        AssertRefused(ErrorCode.BadCheckpoint, "has no config.yaml");
        WriteConfig();
        AssertRefused(ErrorCode.BadCheckpoint, "has no layer_0.safetensors");
        WriteSafetensors(Path.Combine(_folder, "layer_0.safetensors"), Weights(0, "relu", false));
        AssertRefused(ErrorCode.BadArgument, "There are 1 transcoders, and `ndif/tiny-landmarks` has 4 layers");
        WriteConfig("activation: sigmoid");
        AssertRefused(ErrorCode.Unsupported, "sigmoid");
        WriteConfig("activation: topk");
        AssertRefused(ErrorCode.BadCheckpoint, "has no `k`");
        WriteConfig("activation: topk", "k: many");
        AssertRefused(ErrorCode.BadCheckpoint, "not a number: many");
        File.WriteAllText(Path.Combine(_folder, "config.yaml"), "model_kind: cross_layer_transcoder\n");
        AssertRefused(ErrorCode.Unsupported, "cross_layer_transcoder");
        File.WriteAllText(Path.Combine(_folder, "config.yaml"), "model_kind: transcoder_set\n");
        AssertRefused(ErrorCode.BadCheckpoint, "has no `feature_input_hook`");
        WriteConfig("transcoders:", "- hf://nobody/here/layer_0.safetensors?revision=x");
        AssertRefused(ErrorCode.UnknownModel, "hf download nobody/here --include \"layer_0.safetensors*\"");
        WriteConfig();
        WriteSafetensors(Path.Combine(_folder, "layer_0.safetensors"), new Dictionary<string, TensorData> { ["x"] = TensorData.Ones([1]) });
        AssertRefused(ErrorCode.BadCheckpoint, "has no `W_enc`");
    }

    private void AssertRefused(ErrorCode code, string message)
    {
        Exception error = Assert.ThrowsAny<Exception>(() => Model(ExecutionMode.Local).AttachTranscoders(_folder));
        Assert.Equal(code, Errors.FromException(error).Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private void WriteConfig(params string[] lines) => File.WriteAllLines(Path.Combine(_folder, "config.yaml"),
        ["model_name: \"tiny\"", "model_kind: transcoder_set", "feature_input_hook: mlp.hook_in", "feature_output_hook: hook_mlp_out",
            .. lines]);

    /// <summary>By circuit-tracer's names: the encoder is [features, inputs].</summary>
    private static Dictionary<string, TensorData> Weights(int layer, string activation, bool hasSkip)
    {
        Dictionary<string, TensorData> weights = new()
        {
            ["W_enc"] = TensorData.Randn([Features, Size], layer) * 0.1, ["W_dec"] = TensorData.Randn([Features, Size], layer + 10) * 0.1,
            ["b_enc"] = TensorData.Randn([Features], layer + 20) * 0.1, ["b_dec"] = TensorData.Randn([Size], layer + 30) * 0.1,
        };
        if (activation == "jump_relu") weights["activation_function.threshold"] = TensorData.Randn([Features], layer + 40) * 0.2;
        if (hasSkip) weights["W_skip"] = TensorData.Randn([Size, Size], layer + 50) * 0.1;
        return weights;
    }

    private static double[] Encode(Dictionary<string, TensorData> weights, string activation, double[] x)
    {
        double[] encoder = weights["W_enc"].ToArray<double>(), bias = weights["b_enc"].ToArray<double>();
        double[] pre = [.. bias.Select((b, f) => b + x.Select((v, i) => v * encoder[f * Size + i]).Sum())];
        double least = pre.OrderDescending().ElementAt(5);
        double[]? threshold = weights.GetValueOrDefault("activation_function.threshold")?.ToArray<double>();
        return activation switch
        {
            "relu" => [.. pre.Select(p => Math.Max(p, 0))],
            "topk" => [.. pre.Select(p => p >= least ? p : 0)],
            _ => [.. pre.Select((p, f) => p > threshold![f] ? p : 0)],
        };
    }

    private static double[] Decode(Dictionary<string, TensorData> weights, double[] features, double[] x)
    {
        double[] bias = weights["b_dec"].ToArray<double>();
        double[] output = [.. Multiply(features, weights["W_dec"].ToArray<double>()).Zip(bias, (a, b) => a + b)];
        if (weights.GetValueOrDefault("W_skip")?.ToArray<double>() is not { } skip) return output;
        return [.. output.Select((v, j) => v + x.Select((value, i) => value * skip[j * Size + i]).Sum())];
    }

    private static TensorData Vector(double[] values) => TensorData.FromArray(Array.ConvertAll(values, v => (float)v));
}
