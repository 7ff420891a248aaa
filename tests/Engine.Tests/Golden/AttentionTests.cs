using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using TorchSharp;

namespace Ndif.Engine.Tests.Golden;

/// <summary>The standard names of the parts of attention, on a reference checkpoint of every architecture.</summary>
public sealed class AttentionTests
{
    public static TheoryData<string> All =>
    [
        "bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox", "gpt_neox_seq", "gptj", "llama", "llama3",
        "mistral",
        "mixtral", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "stablelm", "starcoder2",
        "biogpt", "codegen", "gpt_bigcode", "mpt", "xglm",
    ];

    [Theory, MemberData(nameof(All))]
    public async Task AttentionProbabilities_AreHuggingFacesAttentions(string name)
    {
        using SafetensorsFile file = Open(name, out LanguageModel llm);
        using Trace t = llm.Trace(Read(file, "input_ids"));
        Saved[] probabilities = [.. llm.Layers.Select(layer => layer.AttentionProbabilities.Save())];
        await t.RunAsync(TestContext.Current.CancellationToken);
        for (int layer = 0; layer < probabilities.Length; layer++)
            TensorAssert.Equal(Read(file, $"attentions.{layer}"), probabilities[layer].Tensor);
    }

    [Theory, MemberData(nameof(All))]
    public async Task ScoresProbsAndValues_AreWhatTheMixtureIsMadeOf(string name)
    {
        using SafetensorsFile file = Open(name, out LanguageModel llm);
        using Trace t = llm.Trace(Read(file, "input_ids"));
        Source source = llm.Layers[0].Attn.Source;
        Saved q = source["q"].Output.Save(), k = source["k"].Output.Save(), v = source["v"].Output.Save();
        Saved scores = source["scores"].Output.Save(), probs = source["probs"].Output.Save(), z = source["z"].Output.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        using var scope = torch.NewDisposeScope();
        TensorAssert.Equal(Torch(scores).softmax(-1).ToData(), probs, 1e-5);
        // [batch, heads, kvSeq, headDim]
        torch.Tensor values = Torch(v).repeat_interleave(probs.Tensor.Shape[1] / v.Tensor.Shape[1], 1);
        TensorAssert.Equal(Torch(probs).matmul(values).ToData(), z, 1e-4);
        Assert.Equal(z.Tensor.Shape.ToArray(), q.Tensor.Shape.ToArray());
        Assert.Equal(v.Tensor.Shape.ToArray()[..3], k.Tensor.Shape.ToArray()[..3]);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("gpt_neo")]
    public async Task ReplacedProbabilities_AreMixedBy(string name)
    {
        using SafetensorsFile file = Open(name, out LanguageModel llm);
        TensorData ids = Read(file, "input_ids");
        Saved plain = await llm.TraceAsync(ids, _ => llm.Logits.Save(), cancellationToken: TestContext.Current.CancellationToken);
        Saved changed = await llm.TraceAsync(ids, _ =>
        {
            llm.Layers[0].AttentionProbabilities = llm.Layers[0].AttentionProbabilities * 0;
            return llm.Logits.Save();
        }, cancellationToken: TestContext.Current.CancellationToken);
        TensorAssert.NotEqual(plain, changed);
    }

    private static SafetensorsFile Open(string name, out LanguageModel llm)
    {
        string? folder = SharedFolder.Find("golden", name) ?? SharedFolder.Find("golden2", name);
        Assert.SkipWhen(folder is null, "there are no reference outputs here (NDIF_SHARED)");
        llm = new LanguageModel(folder, remote: Backend.Local, dtype: DType.Float32); // that of the reference outputs
        return SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
    }

    private static torch.Tensor Torch(Saved saved) => torch.tensor(saved.Tensor.ToArray<float>(), saved.Tensor.Shape.ToArray());

    private static TensorData Read(SafetensorsFile file, string name)
    {
        using torch.Tensor tensor = file.Read(name);
        return tensor.ToData();
    }
}
