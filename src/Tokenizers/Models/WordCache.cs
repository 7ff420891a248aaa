namespace Ndif.Tokenizers.Models;

/// <summary>
/// Caches the tokens of recent words. The hash of a word selects its slot, and a newer word replaces the older one. The size is therefore
/// fixed, and no text can permanently fill the cache. Threads need no lock because each slot is a single reference.
/// </summary>
internal sealed class WordCache
{
    private const int Capacity = 1 << 14;
    private const int MaxWordLength = 64;

    private sealed record Entry(string Word, TokenSpan[] Tokens);

    private readonly Entry?[] _entries = new Entry?[Capacity];

    /// <summary>Returns the tokens of a word, relative to its start, or null if they are not in the cache.</summary>
    public TokenSpan[]? Find(ReadOnlySpan<char> word) =>
        word.Length <= MaxWordLength && Volatile.Read(ref EntryOf(word)) is { } entry && word.SequenceEqual(entry.Word)
            ? entry.Tokens : null;

    /// <summary>Stores the tokens of a word.</summary>
    /// <param name="word">The word.</param>
    /// <param name="start">The start of the word in its text.</param>
    /// <param name="tokens">The tokens, with spans relative to the text.</param>
    public void Add(ReadOnlySpan<char> word, int start, ReadOnlySpan<TokenSpan> tokens)
    {
        if (word.Length > MaxWordLength) return;
        var relative = new TokenSpan[tokens.Length];
        for (int i = 0; i < relative.Length; i++)
            relative[i] = new TokenSpan(tokens[i].Id, tokens[i].Start - start, tokens[i].End - start);
        Volatile.Write(ref EntryOf(word), new Entry(word.ToString(), relative));
    }

    private ref Entry? EntryOf(ReadOnlySpan<char> word) => ref _entries[string.GetHashCode(word) & (Capacity - 1)];
}
