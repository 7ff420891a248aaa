namespace Ndif.Engine.Batching;

/// <summary>One row of a batch.</summary>
/// <param name="InputIds">The token ids, [seq].</param>
/// <param name="AttentionMask">[seq]: 0 for padding in the user's own input; null if there is none.</param>
/// <param name="TokenTypeIds">[seq]: the text of a pair that a token belongs to; null for 0 everywhere.</param>
internal sealed record InputRow(long[] InputIds, long[]? AttentionMask, long[]? TokenTypeIds = null)
{
    /// <summary>The encoder's tokens in an encoder-decoder, whose decoder has the others; null in any other model.</summary>
    public InputRow? Encoder { get; init; }

    /// <summary>The token ids without the padding of the user's own input.</summary>
    public long[] Tokens => AttentionMask is { } mask ? [.. InputIds.Where((_, at) => mask[at] != 0)] : InputIds;

    /// <summary>The number of the encoder's tokens; 0 without an encoder.</summary>
    public int EncoderLength => Encoder?.InputIds.Length ?? 0;
}
