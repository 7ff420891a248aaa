using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): the runes of a word are merged pair by pair, in the order in which
/// training learned the merges.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/bpe/model.rs</remarks>
internal sealed class BpeModel : ITokenizerModel
{
    private readonly BpeMergeTable _merges;
    private readonly WordCache _cache = new();
    private readonly SafeWordSplitter _wordSplitter;
    private readonly int[] _charIds = new int[char.MaxValue + 1]; // the ids of single chars, which are most of the look-ups, or -1
    private readonly int[] _byteIds;
    private readonly string _jsonPath;

    public BpeModel(Vocabulary vocabulary, BpeMergeTable merges, string jsonPath)
    {
        Vocabulary = vocabulary;
        _merges = merges;
        _jsonPath = jsonPath;
        _wordSplitter = new SafeWordSplitter(vocabulary);
        _byteIds = vocabulary.ByteIds();
        Array.Fill(_charIds, -1);
        foreach (string token in vocabulary.Tokens)
            if (token.Length == 1) _charIds[token[0]] = vocabulary.IdOf(token)!.Value;
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>The prefix, in the vocabulary, of a token that does not start a word.</summary>
    public string ContinuingSubwordPrefix { get; init; } = "";

    /// <summary>The suffix, in the vocabulary, of a token that ends a word.</summary>
    public string EndOfWordSuffix { get; init; } = "";

    /// <summary>
    /// The token for a rune that is not in the vocabulary. If it is null, such a rune is dropped, as in Hugging Face tokenizers.
    /// </summary>
    public string? UnknownToken { get; init; }

    /// <summary>True if adjacent unknown runes become one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>True if an unknown rune becomes the tokens of its UTF-8 bytes, provided that the vocabulary contains them.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>True if a word that is in the vocabulary becomes that token without applying the merges, as for Llama 3.</summary>
    public bool IgnoreMerges { get; init; }

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        if (IgnoreMerges && Vocabulary.IdOf(word) is { } wordId)
        {
            tokens.Add(new TokenSpan(wordId, start, start + word.Length));
            return;
        }
        if (ContinuingSubwordPrefix.Length > 0 || EndOfWordSuffix.Length > 0)
        {
            TokenizeSubword(word, start, tokens);
            return;
        }
        for (int offset = 0; offset < word.Length;)
        {
            int length = _wordSplitter.NextLength(word[offset..]);
            TokenizeSubword(word.Slice(offset, length), start + offset, tokens);
            offset += length;
        }
    }

    private void TokenizeSubword(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        if (_cache.Find(word) is { } cached)
        {
            foreach (var (id, tokenStart, tokenEnd) in cached) tokens.Add(new TokenSpan(id, start + tokenStart, start + tokenEnd));
            return;
        }
        int first = tokens.Count;
        // Byte fallback makes at most three tokens per char: a rune of four UTF-8 bytes has two chars. It includes prefix and suffix.
        int maxPerChar = ByteFallback ? 3 * (1 + ContinuingSubwordPrefix.Length) : 1;
        BpeSymbol[] symbols = ArrayPool<BpeSymbol>.Shared.Rent(word.Length * maxPerChar + 3 * EndOfWordSuffix.Length + 1);
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

    /// <summary>Splits a word into runes, bytes of unknown runes, and unknown tokens, and returns their number.</summary>
    private int SplitIntoSymbols(ReadOnlySpan<char> word, BpeSymbol[] symbols)
    {
        int count = 0;
        BpeSymbol? pendingUnknown = null; // an unknown token that the next rune can extend
        for (int start = 0, end; start < word.Length; start = end)
        {
            end = start + (char.IsHighSurrogate(word[start]) && start + 1 < word.Length ? 2 : 1);
            int id = IdOf(word, start, end);
            if (id >= 0)
            {
                Flush(ref pendingUnknown);
                symbols[count++] = new BpeSymbol(id, start, end);
            }
            else if (!(ByteFallback && AddBytes(word, start, end, symbols, ref count)) && UnknownToken is not null)
            {
                if (pendingUnknown is { } unknown && FuseUnknown)
                    pendingUnknown = unknown with { End = end };
                else
                {
                    Flush(ref pendingUnknown);
                    pendingUnknown = new BpeSymbol(Vocabulary.IdOf(UnknownToken)
                        ?? throw WordLevelModel.CreateUnknownWordException(_jsonPath, word[start..end], UnknownToken), start, end);
                }
            }
        }
        Flush(ref pendingUnknown);
        return count;

        void Flush(ref BpeSymbol? pending)
        {
            if (pending is { } symbol) symbols[count++] = symbol;
            pending = null;
        }
    }

    /// <summary>The id of the rune of a word between two indices, with the prefix and suffix that its position requires, or -1.</summary>
    private int IdOf(ReadOnlySpan<char> word, int start, int end)
    {
        string prefix = start > 0 ? ContinuingSubwordPrefix : "", suffix = end == word.Length ? EndOfWordSuffix : "";
        if (prefix.Length > 0 || suffix.Length > 0) return Vocabulary.IdOf(string.Concat(prefix, word[start..end], suffix)) ?? -1;
        return end - start == 1 ? _charIds[word[start]] : Vocabulary.IdOf(word[start..end]) ?? -1;
    }

    private bool AddBytes(ReadOnlySpan<char> word, int start, int end, BpeSymbol[] symbols, ref int count)
    {
        // As in Hugging Face tokenizers, the bytes are those of the rune with the prefix and suffix that it would have as a token.
        string prefix = start > 0 ? ContinuingSubwordPrefix : "", suffix = end == word.Length ? EndOfWordSuffix : "";
        Span<byte> utf8 = stackalloc byte[4];
        utf8 = utf8[..Encoding.UTF8.GetBytes(word[start..end], utf8)];
        if (prefix.Length > 0 || suffix.Length > 0) utf8 = Encoding.UTF8.GetBytes(string.Concat(prefix, word[start..end], suffix));
        foreach (byte b in utf8)
            if (_byteIds[b] < 0) return false;
        foreach (byte b in utf8) symbols[count++] = new BpeSymbol(_byteIds[b], start, end);
        return true;
    }
}
