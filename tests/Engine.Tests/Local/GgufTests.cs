using Ndif.Models.Files;
using Ndif.Tests.Support;

namespace Ndif.Engine.Tests.Local;

/// <summary>A GGUF file is a model: its tokenizer, its values and its gradients in a program.</summary>
public sealed class GgufTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("gguf_llama", "Q4_0")]
    [InlineData("gguf_gpt2", "Q8_0")]
    public async Task File_RunsPrograms(string form, string tag)
    {
        string? folder = SharedFolder.Find("golden2", "forms", form);
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        using TorchSharp.torch.Tensor ids = golden.Read("input_ids"), expected = golden.Read($"{tag}/logits"),
            generated = golden.Read($"{tag}/generate.ids");
        int[] prompt = [.. ids.data<long>().Select(id => (int)id)];
        var llm = new LanguageModel(Path.Combine(folder, $"model-{tag}.gguf"));
        Saved logits = await llm.TraceAsync(prompt, t => llm.Logits.Save(), cancellationToken: Cancel);
        Assert.Equal(expected.data<float>().ToArray(), logits.ToArray<float>(), (a, b) => Math.Abs(a - b) < 2e-4);

        using Trace trace = llm.Trace(prompt, grad: true);
        Value hidden = llm.Layers[0].Hidden, weight = llm.LmHead.Parameter("weight");
        trace.Backward(llm.Logits.Sum());
        Saved gradient = hidden.Grad.Save(), ofWeight = weight.Grad.Norm().Save();
        await trace.RunAsync(cancellationToken: Cancel);
        Assert.True(ofWeight.Tensor.Item<float>() > 0); // a packed weight is dequantized for the pass
        Assert.Contains(gradient.ToArray<float>(), value => value != 0);
    }

    [Fact]
    public async Task Text_IsTokenizedByTheFile()
    {
        string? folder = SharedFolder.Find("golden2", "forms", "gguf_gpt2");
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        var llm = new LanguageModel(Path.Combine(folder, "model-Q4_0.gguf"));
        Saved logits = await llm.TraceAsync("The thin line", t => llm.Logits.Save(), cancellationToken: Cancel);
        Assert.Equal(llm.Tokenizer.Encode("The thin line").Count, logits.Tensor.Shape[1]);
    }
}
