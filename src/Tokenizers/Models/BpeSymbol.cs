namespace Ndif.Tokenizers.Models;

/// <summary>A token of a word while <see cref="BpeMerger"/> merges its pairs. The symbols of a word are a doubly linked list.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/bpe/word.rs, Symbol</remarks>
internal record struct BpeSymbol(int Id, int Start, int End)
{
    /// <summary>The indices of the adjacent symbols, or -1.</summary>
    public int Previous, Next;

    /// <summary>
    /// The rank and the resulting id of the merge with the next symbol. The rank is <see cref="BpeMerger.NoMerge"/> if they do not merge.
    /// </summary>
    public int Rank, MergedId;
}
