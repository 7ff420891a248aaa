namespace Ndif.Tokenizers.PostProcessors;

/// <summary>An item of a template: special tokens, or one of the two sequences.</summary>
/// <param name="Ids">The ids of the special tokens; null for a sequence.</param>
/// <param name="Sequence">The index of the sequence, 0 or 1; 0 for special tokens.</param>
/// <param name="TypeId">The type that its tokens get.</param>
internal sealed record TemplatePiece(int[]? Ids, int Sequence, int TypeId)
{
    public static TemplatePiece SequenceA(int typeId = 0) => new(null, 0, typeId);

    public static TemplatePiece SequenceB(int typeId = 1) => new(null, 1, typeId);

    public static TemplatePiece Token(int id, int typeId = 0) => new([id], 0, typeId);

    /// <summary>Whether the item is the sequence with this index.</summary>
    public bool IsSequence(int index) => Ids is null && Sequence == index;
}
