using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using TorchSharp;

namespace Ndif.Engine.Tests.Golden;

/// <summary>The experiments that nnsight has run on the reference checkpoints.</summary>
public sealed class NnsightGoldenTests
{
    private static string Folder(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        return Path.Combine(SharedFolder.Golden!, name);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("llama3")]
    public async Task Traces_GiveWhatNnsightGives(string name)
    {
        string folder = Folder(name);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "golden.safetensors"));
        TensorData ids = Read("input_ids"), reversed = Read("nnsight.patch.input_ids"), steer = Read("nnsight.steer_vector");
        var llm = new LanguageModel(folder, remote: Backend.Local);
        CancellationToken cancellation = TestContext.Current.CancellationToken;

        Saved plain = await llm.TraceAsync(ids, _ => llm.Logits.Save(), cancellationToken: cancellation);
        TensorAssert.Equal(Read("logits"), plain.Tensor, 2e-4);

        Saved zeroed = await llm.TraceAsync(ids, _ =>
        {
            llm.Layers[0].Hidden[.., 3] = 0;
            return llm.Logits[.., ^4..].Save();
        }, cancellationToken: cancellation);
        TensorAssert.Equal(Read("nnsight.zero_layer0_pos3.logits_last4"), zeroed.Tensor, 2e-4);

        Saved steered = await llm.TraceAsync(ids, _ =>
        {
            llm.Layers[0].Hidden += steer;
            return llm.Logits[.., ^4..].Save();
        }, cancellationToken: cancellation);
        TensorAssert.Equal(Read("nnsight.steer_layer0.logits_last4"), steered.Tensor, 2e-4);

        using Trace t = llm.Trace();
        Value hidden;
        Saved unpatched, patched;
        using (t.Invoke(reversed)) unpatched = llm.Logits[.., ^4..].Save();
        using (t.Invoke(ids)) hidden = llm.Layers[0].Hidden[.., ^1];
        using (t.Invoke(reversed))
        {
            llm.Layers[0].Hidden[.., ^1] = hidden;
            patched = llm.Logits[.., ^4..].Save();
        }
        await t.RunAsync(cancellation);
        TensorAssert.Equal(Read("nnsight.patch.base.logits_last4"), unpatched.Tensor, 2e-4);
        TensorAssert.Equal(Read("nnsight.patch_layer0_last.logits_last4"), patched.Tensor, 2e-4);

        TensorData Read(string tensor)
        {
            using torch.Tensor read = file.Read(tensor);
            return read.ToData();
        }
    }
}
