namespace Ndif.Models;

/// <summary>
/// Which dimensions of a site's tensor run over the rows of the batch, the tokens of this pass, and the keys attended to.
/// Declared by each module, so that a row's part is never guessed from a coincidence of sizes.
/// </summary>
/// <param name="Batch">Dimension of rows, or <see cref="None"/> if all rows share the value.</param>
/// <param name="Seq">Dimension of this pass's tokens.</param>
/// <param name="KvSeq">Dimension of all tokens so far (cache and this pass).</param>
public readonly record struct Axes(int Batch, int Seq = Axes.None, int KvSeq = Axes.None)
{
    public const int None = -1;

    /// <summary>[batch, seq, ...]</summary>
    public static readonly Axes Hidden = new(0, 1);

    /// <summary>[batch, heads, seq, kvSeq]</summary>
    public static readonly Axes Attention = new(0, 2, 3);

    /// <summary>[batch, ...] without tokens</summary>
    public static readonly Axes BatchOnly = new(0);

    /// <summary>[batch · seq, ...]: rows and tokens in one dimension</summary>
    public static readonly Axes Flat = new(0, 0);

    /// <summary>The same for every row.</summary>
    public static readonly Axes Shared = new(None);

    /// <summary>
    /// Nothing says which dimensions they are: the value can be seen as a whole by whoever has the pass for himself, and cannot be cut.
    /// </summary>
    public static readonly Axes Unknown = new(-2);

    public bool IsKnown => Batch != Unknown.Batch;

    /// <summary>True if rows and tokens are one dimension.</summary>
    public bool IsFlat => Batch >= 0 && Batch == Seq;
}
