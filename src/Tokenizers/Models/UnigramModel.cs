using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// SentencePiece's unigram language model (Kudo 2018, arXiv:1804.10959): the segmentation of a word with the largest sum of scores, found
/// by the Viterbi algorithm. Adjacent unknown runes become one token.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/unigram/model.rs, encode_optimized</remarks>
internal sealed class UnigramModel : ITokenizerModel
{
    /// <summary>The score of an unknown rune is the lowest score of a token minus this (sentencepiece, unigram_model.cc).</summary>
    private const double UnknownPenalty = 10;

    private readonly CharTrie _trie = new();
    private readonly double[] _scores;
    private readonly double _unknownScore;
    private readonly int? _unknownId;
    private readonly int[]? _byteIds;
    private readonly string _jsonPath;

    public UnigramModel(Vocabulary vocabulary, double[] scores, int? unknownId, bool byteFallback, string jsonPath)
    {
        Vocabulary = vocabulary;
        _scores = scores;
        _unknownId = unknownId;
        _jsonPath = jsonPath;
        _unknownScore = (scores.Length > 0 ? scores.Min() : 0) - UnknownPenalty;
        _byteIds = byteFallback ? vocabulary.ByteIds() : null;
        foreach (string token in vocabulary.Tokens)
            if (token.Length > 0) _trie.Add(token, vocabulary.IdOf(token)!.Value);
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>The last token of the best segmentation up to a position: its id, its start, and the score up to the position.</summary>
    private record struct ViterbiStep(int Id, int Start, double Score);

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        var best = new ViterbiStep[word.Length + 1]; // indexed by the end of the segmentation
        Array.Fill(best, new ViterbiStep(-1, -1, 0));
        for (int tokenStart = 0; tokenStart < word.Length;)
        {
            int runeLength = char.IsHighSurrogate(word[tokenStart]) && tokenStart + 1 < word.Length ? 2 : 1;
            double score = best[tokenStart].Score;
            bool hasSingleRune = false;
            int node = 0;
            for (int end = tokenStart; end < word.Length && _trie.Step(ref node, word[end]);)
            {
                end++;
                int id = _trie.ValueAt(node);
                if (id < 0) continue;
                Improve(ref best[end], id, tokenStart, score + _scores[id]);
                hasSingleRune |= end - tokenStart == runeLength;
            }
            if (!hasSingleRune)
            {
                int unknownId = _unknownId
                    ?? throw WordLevelModel.CreateUnknownWordException(_jsonPath, word.Slice(tokenStart, runeLength), null);
                Improve(ref best[tokenStart + runeLength], unknownId, tokenStart, score + _unknownScore);
            }
            tokenStart += runeLength;
        }
        BacktrackTokens(best, word, start, tokens);
    }

    private static void Improve(ref ViterbiStep step, int id, int start, double score)
    {
        if (step.Start < 0 || score > step.Score) step = new ViterbiStep(id, start, score);
    }

    /// <summary>Follows the best steps from the end of the word to its start and appends the tokens in order.</summary>
    private void BacktrackTokens(ViterbiStep[] best, ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        var reversed = new List<TokenSpan>(); // relative to the word
        for (int end = word.Length; end > 0; end = best[end].Start)
        {
            var (id, tokenStart, _) = best[end];
            if (id == _unknownId && reversed.Count > 0 && reversed[^1].Id == _unknownId && reversed[^1].Start == end)
                reversed[^1] = new TokenSpan(id, tokenStart, reversed[^1].End);
            else
                reversed.Add(new TokenSpan(id, tokenStart, end));
        }
        for (int i = reversed.Count - 1; i >= 0; i--)
        {
            var (id, tokenStart, tokenEnd) = reversed[i];
            var text = word[tokenStart..tokenEnd];
            if (id != _unknownId)
                tokens.Add(new TokenSpan(id, start + tokenStart, start + tokenEnd));
            else if (Vocabulary.IdOf(text) is { } knownId)
                tokens.Add(new TokenSpan(knownId, start + tokenStart, start + tokenEnd));
            else
                AddUnknown(text, start + tokenStart, tokens);
        }
    }

    private void AddUnknown(ReadOnlySpan<char> text, int start, List<TokenSpan> tokens)
    {
        byte[] utf8 = _byteIds is null ? [] : Encoding.UTF8.GetBytes(text.ToString());
        if (_byteIds is null || Array.Exists(utf8, b => _byteIds[b] < 0))
            tokens.Add(new TokenSpan(_unknownId!.Value, start, start + text.Length));
        else
            foreach (byte b in utf8) tokens.Add(new TokenSpan(_byteIds[b], start, start + text.Length));
    }
}
