using System.Buffers;
using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>A stretch of text that is an added token, or the text between two of them (null).</summary>
internal readonly record struct AddedTokenMatch(TextSpan Span, AddedToken? Token);

/// <summary>Finds added tokens in a text: the leftmost, and of those that begin there the longest.</summary>
internal sealed class AddedTokenMatcher
{
    readonly CharTrie _trie = new();
    readonly SearchValues<char> _firstChars;
    readonly AddedToken[] _tokens;

    /// <param name="tokens">What to look for, and the text each has here.</param>
    public AddedTokenMatcher(IEnumerable<(AddedToken Token, string Text)> tokens)
    {
        var known = tokens.Where(entry => entry.Text.Length > 0).ToList();
        _tokens = [.. known.Select(entry => entry.Token)];
        for (int i = 0; i < known.Count; i++) _trie.Add(known[i].Text, i);
        _firstChars = SearchValues.Create([.. known.Select(entry => entry.Text[0])]);
    }

    /// <summary>The whole text in order; no stretch is empty.</summary>
    public List<AddedTokenMatch> Find(ReadOnlySpan<char> text)
    {
        var found = new List<AddedTokenMatch>();
        int rest = 0;
        for (int at = 0; at < text.Length;)
        {
            int distance = text[at..].IndexOfAny(_firstChars);
            if (distance < 0) break;
            at += distance;
            var (length, index) = _trie.LongestMatch(text[at..]);
            if (length == 0)
            {
                at++;
                continue;
            }
            var token = _tokens[index];
            int start = at, end = at + length;
            at = end;
            if (token.SingleWord && !StandsAlone(text, start, end)) continue;
            if (token.LeftStrip)
                while (start > rest && char.IsWhiteSpace(text[start - 1])) start--;
            if (token.RightStrip)
                while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
            // a token before this one may have taken this one's white space, or, on its right, this one itself
            start = Math.Max(start, rest);
            if (end <= start) continue;
            if (rest < start) found.Add(new AddedTokenMatch(new TextSpan(rest, start), null));
            found.Add(new AddedTokenMatch(new TextSpan(start, end), token));
            rest = end;
        }
        if (rest < text.Length) found.Add(new AddedTokenMatch(new TextSpan(rest, text.Length), null));
        return found;
    }

    static bool StandsAlone(ReadOnlySpan<char> text, int start, int end)
    {
        Rune.DecodeLastFromUtf16(text[..start], out var before, out int width);
        if (width > 0 && RuneClass.IsWord(before)) return false;
        Rune.DecodeFromUtf16(text[end..], out var after, out width);
        return width == 0 || !RuneClass.IsWord(after);
    }
}
