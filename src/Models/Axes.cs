namespace Ndif.Models;

/// <summary>
/// The dimensions of a site's tensor that are the batch, the tokens of this pass, and the keys attended to. Each module declares them,
/// so that the slice of a row is never guessed from a coincidence of sizes.
/// </summary>
/// <param name="Batch">The batch dimension, or <see cref="None"/> if all rows share the value.</param>
/// <param name="Seq">The dimension of this pass's tokens.</param>
/// <param name="KvSeq">The dimension of all tokens so far: those in the cache and those of this pass.</param>
public readonly record struct Axes(int Batch, int Seq = Axes.None, int KvSeq = Axes.None)
{
    public const int None = -1;

    /// <summary>[batch, seq, ...]</summary>
    public static readonly Axes Hidden = new(0, 1);

    /// <summary>[batch, heads, seq, kvSeq]</summary>
    public static readonly Axes Attention = new(0, 2, 3);

    /// <summary>
    /// In an encoder-decoder: whether <see cref="Seq"/> is the encoder's tokens, not those of the decoder. A row has a number of each.
    /// </summary>
    public bool IsSeqOfEncoder { get; init; }

    /// <summary>
    /// In an encoder-decoder: whether <see cref="KvSeq"/> is the encoder's tokens. They are the keys of its own attention and of the
    /// decoder's cross attention.
    /// </summary>
    public bool IsKvSeqOfEncoder { get; init; }

    /// <summary>[batch, encoderSeq, ...]</summary>
    public static readonly Axes EncoderHidden = Hidden.OfEncoder();

    /// <summary>[batch, heads, seq, encoderSeq]</summary>
    public static readonly Axes CrossAttention = Attention with { IsKvSeqOfEncoder = true };

    /// <summary>[batch, ...] without a token dimension</summary>
    public static readonly Axes BatchOnly = new(0);

    /// <summary>[batch · seq, ...]: batch and tokens in one dimension</summary>
    public static readonly Axes Flat = new(0, 0);

    /// <summary>The value is the same for every row.</summary>
    public static readonly Axes Shared = new(None);

    /// <summary>
    /// [routed, ...]: the tokens that are routed to an expert in this call, in the order of their rows and positions. Which tokens these
    /// are is known only while the expert runs.
    /// </summary>
    public static readonly Axes Routed = new(0, -3);

    /// <summary>[routed] int64: the positions of these tokens among all of the pass, batch and seq in one dimension.</summary>
    public static readonly Axes RoutedIndex = new(0, -4);

    /// <summary>
    /// The dimensions are not known. A trace that has the pass to itself can read the whole value; it cannot be sliced.
    /// </summary>
    public static readonly Axes Unknown = new(-2);

    /// <summary>The same dimensions in a module of an encoder.</summary>
    public Axes OfEncoder() => this with { IsSeqOfEncoder = Seq != None, IsKvSeqOfEncoder = KvSeq != None };

    public bool IsKnown => Batch != Unknown.Batch;

    /// <summary>Whether batch and tokens are one dimension.</summary>
    public bool IsFlat => Batch >= 0 && Batch == Seq;

    /// <summary>Whether the first dimension is the tokens of an expert.</summary>
    public bool IsRouted => Seq == Routed.Seq || IsRoutedIndex;

    /// <summary>Whether the value says which tokens these are.</summary>
    public bool IsRoutedIndex => Seq == RoutedIndex.Seq;
}
