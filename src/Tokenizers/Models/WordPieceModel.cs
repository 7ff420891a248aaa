using System.Buffers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// WordPiece, the model of BERT: it repeatedly takes the longest token that is a prefix of the remaining word. If that fails at any
/// position, the whole word becomes the unknown token.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/wordpiece/mod.rs</remarks>
internal sealed class WordPieceModel(
    Vocabulary vocabulary, string unknownToken, string continuingSubwordPrefix, int maxInputCharsPerWord, string jsonPath)
    : ITokenizerModel
{
    private readonly int? _unknownId = vocabulary.IdOf(unknownToken);
    private readonly int _maxTokenLength = vocabulary.Tokens.Select(token => token.Length).DefaultIfEmpty().Max();

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        int first = tokens.Count;
        if (TryTokenize(word, start, tokens)) return;
        tokens.RemoveRange(first, tokens.Count - first);
        int unknownId = _unknownId ?? throw WordLevelModel.CreateUnknownWordException(jsonPath, word, unknownToken);
        tokens.Add(new TokenSpan(unknownId, start, start + word.Length));
    }

    private bool TryTokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        int runeCount = 0;
        foreach (var _ in word.EnumerateRunes()) runeCount++;
        if (runeCount > maxInputCharsPerWord) return false;

        // The buffer contains the prefix followed by the remaining word, so that every candidate is a slice of it.
        char[] buffer = ArrayPool<char>.Shared.Rent(continuingSubwordPrefix.Length + word.Length);
        try
        {
            for (int tokenStart = 0, end; tokenStart < word.Length; tokenStart = end)
            {
                var remaining = word[tokenStart..];
                continuingSubwordPrefix.CopyTo(buffer);
                remaining.CopyTo(buffer.AsSpan(continuingSubwordPrefix.Length));
                int candidateStart = tokenStart == 0 ? continuingSubwordPrefix.Length : 0;
                int? id = null;
                end = Math.Min(word.Length, tokenStart + _maxTokenLength);
                if (end < word.Length && char.IsLowSurrogate(word[end])) end--;
                for (; end > tokenStart; end -= char.IsLowSurrogate(word[end - 1]) ? 2 : 1)
                {
                    int candidateLength = continuingSubwordPrefix.Length - candidateStart + end - tokenStart;
                    id = vocabulary.IdOf(buffer.AsSpan(candidateStart, candidateLength));
                    if (id is not null) break;
                }
                if (id is not { } found) return false;
                tokens.Add(new TokenSpan(found, start + tokenStart, start + end));
            }
            return true;
        }
        finally
        {
            ArrayPool<char>.Shared.Return(buffer);
        }
    }
}
