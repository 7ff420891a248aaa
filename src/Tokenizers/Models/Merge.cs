namespace Ndif.Tokenizers.Models;

/// <summary>What a pair of neighbouring tokens becomes; of all pairs in a word, the one with the lowest rank goes first.</summary>
internal readonly record struct Merge(int Rank, int Id);
