using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The shape of the current pass, which the slices of all invokes share.</summary>
internal sealed class BatchShape
{
    private bool[]? _isPadding;

    /// <summary>The rows of the batch; -1 for a model that is not batched.</summary>
    public long BatchSize { get; set; } = -1;

    /// <summary>Whether the pass runs over the prompts. Its token dimension then includes the padding.</summary>
    public bool IsPrefill { get; set; } = true;

    /// <summary>Whether shorter rows are padded on the right.</summary>
    public bool PadsRight { get; init; }

    /// <summary>Whether the pass over the prompts computes the logits of the last tokens only.</summary>
    public bool HasLastLogitsOnly { get; set; }

    /// <summary>The tokens of each row in this pass, padding included.</summary>
    public long SequenceLength { get; set; }

    /// <summary>In an encoder-decoder: the encoder's tokens of each row, padding on the right included.</summary>
    public long EncoderLength { get; set; }

    /// <summary>1 for a token, 0 for padding: [batch, kvSeq] int64, borrowed for the pass; null if the pass has none.</summary>
    public torch.Tensor? AttentionMask
    {
        get;
        set => (field, _isPadding) = (value, null);
    }

    /// <summary>The tokens of the expert that the pass is at; null outside of experts.</summary>
    public ExpertCall? ExpertCall { get; set; }

    /// <summary>Whether a token of this pass is padding, by its position in [batch · seq].</summary>
    public bool IsPadding(long token)
    {
        if (!IsPrefill || AttentionMask is not { } mask || mask.device_type is DeviceType.META) return false;
        if (_isPadding is null)
        {
            using var scope = torch.NewDisposeScope();
            torch.Tensor own = mask.narrow(1, mask.size(1) - SequenceLength, SequenceLength); // [batch, seq]
            _isPadding = [.. own.cpu().reshape(-1).data<long>().Select(m => m == 0)];
        }
        return _isPadding[token];
    }
}
