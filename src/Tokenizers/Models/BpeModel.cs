using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>Byte-pair encoding: a word's runes, merged pair by pair in the order in which the pairs were learnt.</summary>
internal sealed class BpeModel : ITokenizerModel
{
    readonly BpeMergeTable _merges;
    readonly WordCache _cache = new();
    readonly SafeWordSplitter _wordSplitter;
    readonly int[] _runeIds = new int[char.MaxValue + 1]; // the ids of single chars: most of the look-ups
    readonly int[] _byteIds;
    readonly string _jsonPath;

    public BpeModel(Vocabulary vocabulary, BpeMergeTable merges, string jsonPath)
    {
        Vocabulary = vocabulary;
        _merges = merges;
        _jsonPath = jsonPath;
        _wordSplitter = new SafeWordSplitter(vocabulary);
        _byteIds = vocabulary.ByteIds();
        Array.Fill(_runeIds, -1);
        foreach (string token in vocabulary.Tokens)
            if (token.Length == 1) _runeIds[token[0]] = vocabulary.IdOf(token)!.Value;
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>What stands in the vocabulary before a token that does not begin a word.</summary>
    public string ContinuingSubwordPrefix { get; init; } = "";

    /// <summary>What stands in the vocabulary after a token that ends a word.</summary>
    public string EndOfWordSuffix { get; init; } = "";

    /// <summary>The token for a rune that is not in the vocabulary; null: such a rune is dropped, as by Hugging Face.</summary>
    public string? UnknownToken { get; init; }

    /// <summary>Whether neighbouring unknown runes become one token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Whether an unknown rune becomes the tokens of its UTF-8 bytes, where the vocabulary holds them.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>Whether a word that is a token as a whole is not taken apart (Llama 3).</summary>
    public bool IgnoreMerges { get; init; }

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        if (IgnoreMerges && Vocabulary.IdOf(word) is { } whole)
        {
            tokens.Add(new TokenSpan(whole, start, start + word.Length));
            return;
        }
        if (ContinuingSubwordPrefix.Length > 0 || EndOfWordSuffix.Length > 0)
        {
            TokenizePart(word, start, tokens);
            return;
        }
        for (int at = 0; at < word.Length;)
        {
            int length = _wordSplitter.NextPartLength(word[at..]);
            TokenizePart(word.Slice(at, length), start + at, tokens);
            at += length;
        }
    }

    void TokenizePart(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        if (_cache.Find(word) is { } known)
        {
            foreach (var (id, from, to) in known) tokens.Add(new TokenSpan(id, start + from, start + to));
            return;
        }
        int first = tokens.Count;
        // a rune is at most four byte tokens, a char at most three
        BpeSymbol[] symbols = ArrayPool<BpeSymbol>.Shared.Rent(word.Length * (ByteFallback ? 3 : 1) + 1);
        try
        {
            int count = SplitIntoSymbols(word, symbols);
            BpeMerger.Merge(symbols.AsSpan(0, count), _merges);
            for (int i = count > 0 ? 0 : -1; i >= 0; i = symbols[i].Next)
                tokens.Add(new TokenSpan(symbols[i].Id, start + symbols[i].Start, start + symbols[i].End));
        }
        finally
        {
            ArrayPool<BpeSymbol>.Shared.Return(symbols);
        }
        _cache.Add(word, start, CollectionsMarshal.AsSpan(tokens)[first..]);
    }

    /// <summary>A word as single runes, or bytes, or unknown tokens; the number of them.</summary>
    int SplitIntoSymbols(ReadOnlySpan<char> word, BpeSymbol[] symbols)
    {
        int count = 0;
        BpeSymbol? unknown = null; // not yet added: it may go on
        for (int at = 0, end; at < word.Length; at = end)
        {
            end = at + (char.IsHighSurrogate(word[at]) && at + 1 < word.Length ? 2 : 1);
            int id = IdOf(word, at, end);
            if (id >= 0)
            {
                Flush(ref unknown);
                symbols[count++] = new BpeSymbol(id, at, end);
            }
            else if (!(ByteFallback && AddBytes(word, at, end, symbols, ref count)) && UnknownToken is not null)
            {
                if (unknown is { } open && FuseUnknown)
                    unknown = open with { End = end };
                else
                {
                    Flush(ref unknown);
                    unknown = new BpeSymbol(Vocabulary.IdOf(UnknownToken)
                        ?? throw WordLevelModel.UnknownWord(_jsonPath, word[at..end], UnknownToken), at, end);
                }
            }
        }
        Flush(ref unknown);
        return count;

        void Flush(ref BpeSymbol? waiting)
        {
            if (waiting is { } symbol) symbols[count++] = symbol;
            waiting = null;
        }
    }

    int IdOf(ReadOnlySpan<char> word, int at, int end)
    {
        bool prefixed = ContinuingSubwordPrefix.Length > 0 && at > 0, suffixed = EndOfWordSuffix.Length > 0 && end == word.Length;
        if (prefixed || suffixed)
            return Vocabulary.IdOf(string.Concat(prefixed ? ContinuingSubwordPrefix : "", word[at..end], suffixed ? EndOfWordSuffix : "")) ?? -1;
        return end - at == 1 ? _runeIds[word[at]] : Vocabulary.IdOf(word[at..end]) ?? -1;
    }

    bool AddBytes(ReadOnlySpan<char> word, int at, int end, BpeSymbol[] symbols, ref int count)
    {
        Span<byte> utf8 = stackalloc byte[4];
        utf8 = utf8[..Encoding.UTF8.GetBytes(word[at..end], utf8)];
        foreach (byte b in utf8)
            if (_byteIds[b] < 0) return false;
        foreach (byte b in utf8) symbols[count++] = new BpeSymbol(_byteIds[b], at, end);
        return true;
    }
}
