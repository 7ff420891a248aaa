namespace Ndif.Tokenizers.Models;

/// <summary>
/// The tokens of recently seen words. Each word has one place by its hash and a newer word takes it, so that the size is fixed,
/// no text can fill it for good, and threads need no lock: an entry is written whole or not at all.
/// </summary>
internal sealed class WordCache
{
    const int Places = 1 << 14;
    const int LongestWord = 64;

    sealed record Entry(string Word, Piece[] Pieces);

    readonly Entry?[] _entries = new Entry?[Places];

    public Piece[]? Find(ReadOnlySpan<char> word) =>
        word.Length <= LongestWord && Volatile.Read(ref Place(word)) is { } entry && word.SequenceEqual(entry.Word) ? entry.Pieces : null;

    /// <summary>Keeps a word's tokens, which count their places from <paramref name="start"/>.</summary>
    public void Keep(ReadOnlySpan<char> word, int start, ReadOnlySpan<Piece> pieces)
    {
        if (word.Length > LongestWord) return;
        var kept = new Piece[pieces.Length];
        for (int i = 0; i < kept.Length; i++) kept[i] = new Piece(pieces[i].Id, pieces[i].Start - start, pieces[i].End - start);
        Volatile.Write(ref Place(word), new Entry(word.ToString(), kept));
    }

    ref Entry? Place(ReadOnlySpan<char> word) => ref _entries[string.GetHashCode(word) & (Places - 1)];
}
