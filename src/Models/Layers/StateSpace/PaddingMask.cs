using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>The tokens of a pass that are not padding, for layers whose state must not see padding.</summary>
/// <remarks>apply_mask_to_padding_states in transformers/models/mamba2/modeling_mamba2.py</remarks>
internal static class PaddingMask
{
    /// <param name="attentionMask">[batch, kvSeq]: 0 for padding.</param>
    /// <returns>[batch, seq]; null if no token of the pass is padding.</returns>
    [Operation("update_linear_attn_mask")]
    public static Tensor? Of(Tensor attentionMask, long seqLen)
    {
        if (seqLen == 1 || attentionMask.device_type == TorchSharp.DeviceType.META) return null;
        Tensor mask = attentionMask.narrow(1, attentionMask.size(1) - seqLen, seqLen);      // [batch, seq]
        using Tensor least = mask.min();
        return least.to(ScalarType.Int64).item<long>() == 0 ? mask : null;
    }

    /// <summary>The same from the mask of an attention: padding is a token that attends to nothing.</summary>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <returns>[batch, seq]; null if no token of the pass is padding.</returns>
    [Operation("update_linear_attn_mask")]
    public static Tensor? OfCausal(Tensor mask)
    {
        if (mask.size(2) == 1 || mask.device_type == TorchSharp.DeviceType.META) return null;
        Tensor attends = mask.squeeze(1).amax([-1L]) > finfo(mask.dtype).min / 4;           // [batch, seq]
        using Tensor all = attends.all();
        return all.item<bool>() ? null : attends;
    }

    /// <summary>Sets padding to zero.</summary>
    /// <param name="x">[batch, seq, ...]</param>
    /// <param name="mask">[batch, seq]; null for no padding.</param>
    [Operation("apply_mask_to_padding_states")]
    public static Tensor Apply(Tensor x, Tensor? mask) => mask is null ? x : x * mask.unsqueeze(-1).to(x.dtype);
}
