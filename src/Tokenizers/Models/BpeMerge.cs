namespace Ndif.Tokenizers.Models;

/// <summary>A merge of two adjacent tokens. The pair of a word with the lowest rank is merged first.</summary>
/// <param name="Rank">The position of the merge in the file.</param>
/// <param name="Id">The id of the token that the pair becomes.</param>
internal readonly record struct BpeMerge(int Rank, int Id);
