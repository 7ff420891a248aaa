namespace Ndif.Tokenizers.PostProcessors;

/// <summary>An item of a template: special tokens, or one of the two sequences.</summary>
/// <param name="Ids">The ids of the special tokens; null for a sequence.</param>
/// <param name="Sequence">The index of the sequence, 0 or 1; 0 for special tokens.</param>
internal sealed record TemplatePiece(int[]? Ids, int Sequence)
{
    public static TemplatePiece SequenceA { get; } = new(null, 0);

    public static TemplatePiece SequenceB { get; } = new(null, 1);

    public static TemplatePiece Token(params int[] ids) => new(ids, 0);
}
