using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>The inputs of a model for one row of tokens.</summary>
internal sealed class PromptInput(long[] prompt) : IDisposable
{
    /// <summary>[1, seq] int64</summary>
    public Tensor Ids { get; } = tensor(prompt, [1, prompt.Length]).DetachFromDisposeScope();

    /// <summary>[1, seq] int64</summary>
    public Tensor Mask { get; } = ones([1, prompt.Length], int64).DetachFromDisposeScope();

    /// <summary>[1, seq] int64</summary>
    public Tensor Positions { get; } = arange(prompt.Length, int64).unsqueeze(0).DetachFromDisposeScope();

    /// <summary>Runs one pass through our model, and disposes its result.</summary>
    public void Run(LoadedModel model)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        model.Root.Call(new(Ids, Mask, Positions, null));
    }

    /// <summary>Runs one pass through the plain model, and disposes its result.</summary>
    public void Run(PlainGPT2 plain)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        plain.call(Ids, Mask, Positions);
    }

    /// <summary>The maximum difference of the two models' logits, and the maximum logit.</summary>
    public (double Difference, double Largest) Compare(LoadedModel model, PlainGPT2 plain)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        var actual = (Tensor)model.Root.Call(new(Ids, Mask, Positions, null))["logits"]!;
        Tensor expected = plain.call(Ids, Mask, Positions);
        return ((actual - expected).abs().max().item<float>(), expected.abs().max().item<float>());
    }

    public void Dispose()
    {
        Ids.Dispose();
        Mask.Dispose();
        Positions.Dispose();
    }
}
