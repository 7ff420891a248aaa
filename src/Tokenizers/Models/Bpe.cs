using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>Byte-pair encoding: a word's runes, merged pair by pair in the order in which the pairs were learnt.</summary>
internal sealed class Bpe : IModel
{
    readonly MergeTable _merges;
    readonly WordCache _cache = new();
    readonly WordBreaks _breaks;
    readonly int[] _runeIds = new int[char.MaxValue + 1]; // the ids of single chars: most of the look-ups
    readonly int[] _byteIds;
    readonly string _part;

    public Bpe(Vocabulary vocabulary, MergeTable merges, string part)
    {
        Vocabulary = vocabulary;
        _merges = merges;
        _part = part;
        _breaks = new WordBreaks(vocabulary);
        _byteIds = vocabulary.ByteIds();
        Array.Fill(_runeIds, -1);
        foreach (string token in vocabulary.Tokens)
            if (token.Length == 1) _runeIds[token[0]] = vocabulary.IdOf(token)!.Value;
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>What stands in the vocabulary before a token that does not begin a word.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>What stands in the vocabulary after a token that ends a word.</summary>
    public string Suffix { get; init; } = "";

    /// <summary>The token for a rune that is not in the vocabulary; null: such a rune is dropped, as by Hugging Face.</summary>
    public string? UnknownToken { get; init; }

    /// <summary>Whether neighbouring unknown runes become one token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Whether an unknown rune becomes the tokens of its UTF-8 bytes, where the vocabulary holds them.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>Whether a word that is a token as a whole is not taken apart (Llama 3).</summary>
    public bool IgnoreMerges { get; init; }

    public void Tokenize(ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        if (IgnoreMerges && Vocabulary.IdOf(word) is { } whole)
        {
            pieces.Add(new Piece(whole, start, start + word.Length));
            return;
        }
        if (Prefix.Length > 0 || Suffix.Length > 0)
        {
            TokenizePart(word, start, pieces);
            return;
        }
        for (int at = 0; at < word.Length;)
        {
            int length = _breaks.First(word[at..]);
            TokenizePart(word.Slice(at, length), start + at, pieces);
            at += length;
        }
    }

    void TokenizePart(ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        if (_cache.Find(word) is { } known)
        {
            foreach (var (id, from, to) in known) pieces.Add(new Piece(id, start + from, start + to));
            return;
        }
        int first = pieces.Count;
        // a rune is at most four byte tokens, a char at most three
        Symbol[] symbols = ArrayPool<Symbol>.Shared.Rent(word.Length * (ByteFallback ? 3 : 1) + 1);
        try
        {
            int count = Spell(word, symbols);
            BpeMerger.Merge(symbols.AsSpan(0, count), _merges);
            for (int i = count > 0 ? 0 : -1; i >= 0; i = symbols[i].Next)
                pieces.Add(new Piece(symbols[i].Id, start + symbols[i].Start, start + symbols[i].End));
        }
        finally
        {
            ArrayPool<Symbol>.Shared.Return(symbols);
        }
        _cache.Keep(word, start, CollectionsMarshal.AsSpan(pieces)[first..]);
    }

    /// <summary>A word as single runes, or bytes, or unknown tokens; the number of them.</summary>
    int Spell(ReadOnlySpan<char> word, Symbol[] symbols)
    {
        int count = 0;
        Symbol? unknown = null; // not yet added: it may go on
        for (int at = 0, end; at < word.Length; at = end)
        {
            end = at + (char.IsHighSurrogate(word[at]) && at + 1 < word.Length ? 2 : 1);
            int id = IdOf(word, at, end);
            if (id >= 0)
            {
                Flush(ref unknown);
                symbols[count++] = new Symbol(id, at, end);
            }
            else if (!(ByteFallback && AddBytes(word, at, end, symbols, ref count)) && UnknownToken is not null)
            {
                if (unknown is { } open && FuseUnknown)
                    unknown = open with { End = end };
                else
                {
                    Flush(ref unknown);
                    unknown = new Symbol(Vocabulary.IdOf(UnknownToken)
                        ?? throw WordLevel.Unknown(_part, word[at..end], UnknownToken), at, end);
                }
            }
        }
        Flush(ref unknown);
        return count;

        void Flush(ref Symbol? waiting)
        {
            if (waiting is { } symbol) symbols[count++] = symbol;
            waiting = null;
        }
    }

    int IdOf(ReadOnlySpan<char> word, int at, int end)
    {
        bool prefixed = Prefix.Length > 0 && at > 0, suffixed = Suffix.Length > 0 && end == word.Length;
        if (prefixed || suffixed)
            return Vocabulary.IdOf(string.Concat(prefixed ? Prefix : "", word[at..end], suffixed ? Suffix : "")) ?? -1;
        return end - at == 1 ? _runeIds[word[at]] : Vocabulary.IdOf(word[at..end]) ?? -1;
    }

    bool AddBytes(ReadOnlySpan<char> word, int at, int end, Symbol[] symbols, ref int count)
    {
        Span<byte> utf8 = stackalloc byte[4];
        utf8 = utf8[..Encoding.UTF8.GetBytes(word[at..end], utf8)];
        foreach (byte b in utf8)
            if (_byteIds[b] < 0) return false;
        foreach (byte b in utf8) symbols[count++] = new Symbol(_byteIds[b], at, end);
        return true;
    }
}
