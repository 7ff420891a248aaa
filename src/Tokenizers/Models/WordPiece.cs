using System.Buffers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>BERT's: the longest known piece first, again and again; a word with any unknown part is unknown as a whole.</summary>
internal sealed class WordPiece(Vocabulary vocabulary, string unknownToken, string prefix, int longestWord, string part) : IModel
{
    readonly int? _unknown = vocabulary.IdOf(unknownToken);
    readonly int _longest = vocabulary.Tokens.Select(token => token.Length).DefaultIfEmpty().Max();

    public Vocabulary Vocabulary => vocabulary;

    public void Tokenize(ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        int first = pieces.Count;
        if (!TryTokenize(word, start, pieces))
        {
            pieces.RemoveRange(first, pieces.Count - first);
            pieces.Add(new Piece(_unknown ?? throw WordLevel.Unknown(part, word, unknownToken), start, start + word.Length));
        }
    }

    bool TryTokenize(ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        int runes = 0;
        foreach (var _ in word.EnumerateRunes()) runes++;
        if (runes > longestWord) return false;

        // the prefix sits right before what is left of the word, so that every candidate is a slice
        char[] buffer = ArrayPool<char>.Shared.Rent(prefix.Length + word.Length);
        try
        {
            for (int at = 0, end; at < word.Length; at = end)
            {
                var rest = word[at..];
                prefix.CopyTo(buffer);
                rest.CopyTo(buffer.AsSpan(prefix.Length));
                int from = at == 0 ? prefix.Length : 0;
                int? id = null;
                end = Math.Min(word.Length, at + _longest);
                if (end < word.Length && char.IsLowSurrogate(word[end])) end--;
                for (; end > at; end -= char.IsLowSurrogate(word[end - 1]) ? 2 : 1)
                {
                    id = vocabulary.IdOf(buffer.AsSpan(from, prefix.Length - from + end - at));
                    if (id is not null) break;
                }
                if (id is not { } known) return false;
                pieces.Add(new Piece(known, start + at, start + end));
            }
            return true;
        }
        finally
        {
            ArrayPool<char>.Shared.Return(buffer);
        }
    }
}
