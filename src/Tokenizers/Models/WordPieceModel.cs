using System.Buffers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>BERT's: the longest known piece first, again and again; a word with any unknown part is unknown as a whole.</summary>
internal sealed class WordPieceModel(Vocabulary vocabulary, string unknownToken, string continuingSubwordPrefix, int maxInputCharsPerWord, string jsonPath) : ITokenizerModel
{
    readonly int? _unknownId = vocabulary.IdOf(unknownToken);
    readonly int _maxTokenLength = vocabulary.Tokens.Select(token => token.Length).DefaultIfEmpty().Max();

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        int first = tokens.Count;
        if (!TryTokenize(word, start, tokens))
        {
            tokens.RemoveRange(first, tokens.Count - first);
            tokens.Add(new TokenSpan(_unknownId ?? throw WordLevelModel.UnknownWord(jsonPath, word, unknownToken), start, start + word.Length));
        }
    }

    bool TryTokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        int runes = 0;
        foreach (var _ in word.EnumerateRunes()) runes++;
        if (runes > maxInputCharsPerWord) return false;

        // the prefix sits right before what is left of the word, so that every candidate is a slice
        char[] buffer = ArrayPool<char>.Shared.Rent(continuingSubwordPrefix.Length + word.Length);
        try
        {
            for (int at = 0, end; at < word.Length; at = end)
            {
                var rest = word[at..];
                continuingSubwordPrefix.CopyTo(buffer);
                rest.CopyTo(buffer.AsSpan(continuingSubwordPrefix.Length));
                int from = at == 0 ? continuingSubwordPrefix.Length : 0;
                int? id = null;
                end = Math.Min(word.Length, at + _maxTokenLength);
                if (end < word.Length && char.IsLowSurrogate(word[end])) end--;
                for (; end > at; end -= char.IsLowSurrogate(word[end - 1]) ? 2 : 1)
                {
                    id = vocabulary.IdOf(buffer.AsSpan(from, continuingSubwordPrefix.Length - from + end - at));
                    if (id is not null) break;
                }
                if (id is not { } known) return false;
                tokens.Add(new TokenSpan(known, start + at, start + end));
            }
            return true;
        }
        finally
        {
            ArrayPool<char>.Shared.Return(buffer);
        }
    }
}
