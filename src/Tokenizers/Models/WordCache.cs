namespace Ndif.Tokenizers.Models;

/// <summary>
/// The tokens of recently seen words. Each word has one place by its hash and a newer word takes it, so that the size is fixed,
/// no text can fill it for good, and threads need no lock: an entry is written whole or not at all.
/// </summary>
internal sealed class WordCache
{
    const int Capacity = 1 << 14;
    const int MaxWordLength = 64;

    sealed record Entry(string Word, TokenSpan[] Tokens);

    readonly Entry?[] _entries = new Entry?[Capacity];

    public TokenSpan[]? Find(ReadOnlySpan<char> word) =>
        word.Length <= MaxWordLength && Volatile.Read(ref EntryOf(word)) is { } entry && word.SequenceEqual(entry.Word) ? entry.Tokens : null;

    /// <summary>Keeps a word's tokens, which count their places from <paramref name="start"/>.</summary>
    public void Add(ReadOnlySpan<char> word, int start, ReadOnlySpan<TokenSpan> tokens)
    {
        if (word.Length > MaxWordLength) return;
        var kept = new TokenSpan[tokens.Length];
        for (int i = 0; i < kept.Length; i++) kept[i] = new TokenSpan(tokens[i].Id, tokens[i].Start - start, tokens[i].End - start);
        Volatile.Write(ref EntryOf(word), new Entry(word.ToString(), kept));
    }

    ref Entry? EntryOf(ReadOnlySpan<char> word) => ref _entries[string.GetHashCode(word) & (Capacity - 1)];
}
