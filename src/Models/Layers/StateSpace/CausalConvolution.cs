using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>A convolution over the tokens that continues where the last pass ended. The state is its last inputs.</summary>
/// <remarks>causal_conv1d_fn and causal_conv1d_update in transformers/models/mamba/modeling_mamba.py and its relatives</remarks>
internal static class CausalConvolution
{
    /// <param name="input">[batch, channels, seq]</param>
    /// <param name="state">The state in the cache: its layer and its number. It has the last kernelSize inputs.</param>
    /// <returns>[batch, channels, seq]</returns>
    [Operation("causal_conv1d")]
    public static Tensor Apply(DepthwiseConv1d convolution, Tensor input, KeyValueCache? cache, int layer, int state)
    {
        long seqLen = input.size(2), kernelSize = convolution.Kernel.Shape[2];
        Tensor? earlier = cache?.State(layer, state);                                       // [batch, channels, kernelSize]
        Tensor window = earlier is null ? input : cat([earlier, input], 2);                 // [batch, channels, all]
        cache?.SetState(layer, state, LastColumns(window, kernelSize));
        if (earlier is null) return convolution.Call(input).narrow(2, 0, seqLen);
        if (seqLen > 1) return convolution.Call(window).narrow(2, window.size(2) - (kernelSize - 1) - seqLen, seqLen);
        // one token: as in Hugging Face's code the module is not called
        Tensor columns = LastColumns(window, kernelSize);                                   // [batch, channels, kernelSize]
        Tensor sums = (columns * convolution.Kernel.Value.squeeze(1)).sum(-1, keepdim: true); // [batch, channels, 1]
        return convolution.Bias is { } bias ? sums + bias.Value.unsqueeze(-1) : sums;
    }

    /// <summary>The last columns, after zeros if there are fewer.</summary>
    private static Tensor LastColumns(Tensor window, long count) => window.size(2) >= count
        ? window.narrow(2, window.size(2) - count, count)
        : nn.functional.pad(window, (count - window.size(2), 0L));
}
