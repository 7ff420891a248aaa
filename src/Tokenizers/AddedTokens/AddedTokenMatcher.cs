using System.Buffers;
using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>Finds added tokens in a text. At each position, the longest token wins.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly CharTrie _trie = new();
    private readonly SearchValues<char> _firstChars;
    private readonly AddedToken[] _tokens;

    /// <param name="tokens">The tokens and the text to match for each: its content, or its normalized content.</param>
    public AddedTokenMatcher(IEnumerable<(AddedToken Token, string Text)> tokens)
    {
        var entries = tokens.Where(entry => entry.Text.Length > 0).ToList();
        _tokens = [.. entries.Select(entry => entry.Token)];
        for (int i = 0; i < entries.Count; i++) _trie.Add(entries[i].Text, i);
        _firstChars = SearchValues.Create([.. entries.Select(entry => entry.Text[0])]);
    }

    /// <summary>
    /// Splits a text into matches and the ranges between them. The ranges are not empty and cover the text. They are in order, except
    /// that a match can begin in the white space that the match before it includes.
    /// </summary>
    public List<AddedTokenMatch> Find(ReadOnlySpan<char> text)
    {
        var matches = new List<AddedTokenMatch>();
        int previousEnd = 0;
        for (int position = 0; position < text.Length;)
        {
            int distance = text[position..].IndexOfAny(_firstChars);
            if (distance < 0) break;
            position += distance;
            var (length, index) = _trie.LongestMatch(text[position..]);
            if (length == 0)
            {
                position++;
                continue;
            }
            var token = _tokens[index];
            int start = position, end = position + length;
            position = end;
            if (token.SingleWord && !IsSingleWord(text, start, end)) continue;
            if (token.LeftStrip)
                while (start > previousEnd && char.IsWhiteSpace(text[start - 1])) start--;
            if (token.RightStrip)
            {
                if (end < previousEnd) end = previousEnd; // the white space that the previous match includes
                while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
            }
            // As in Hugging Face tokenizers, a token in the white space that the previous match includes on its right is a match too.
            if (previousEnd < start) matches.Add(new AddedTokenMatch(new TextSpan(previousEnd, start), null));
            matches.Add(new AddedTokenMatch(new TextSpan(start, end), token));
            previousEnd = end;
        }
        if (previousEnd < text.Length) matches.Add(new AddedTokenMatch(new TextSpan(previousEnd, text.Length), null));
        return matches;
    }

    private static bool IsSingleWord(ReadOnlySpan<char> text, int start, int end)
    {
        Rune.DecodeLastFromUtf16(text[..start], out var before, out int width);
        if (width > 0 && RuneClass.IsWord(before)) return false;
        Rune.DecodeFromUtf16(text[end..], out var after, out width);
        return width == 0 || !RuneClass.IsWord(after);
    }
}
