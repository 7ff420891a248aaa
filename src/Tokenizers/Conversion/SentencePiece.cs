namespace Ndif.Tokenizers.Conversion;

/// <summary>A token of a SentencePiece model.</summary>
/// <param name="Text">The token, with '▁' for a space.</param>
/// <param name="Score">The log probability (unigram), or minus the rank of the merge (BPE).</param>
/// <param name="Type">What the token stands for.</param>
internal readonly record struct SentencePiece(string Text, float Score, SentencePieceType Type);
