using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// SentencePiece's unigram model: the split of a word whose scores add up to the most, found by Viterbi's algorithm
/// (Kudo 2018, arXiv:1804.10959). Neighbouring unknown runes become one token.
/// </summary>
internal sealed class UnigramModel : ITokenizerModel
{
    /// <summary>How much worse than the worst token an unknown rune is (sentencepiece, unigram_model.cc).</summary>
    const double UnknownPenalty = 10;

    readonly CharTrie _trie = new();
    readonly double[] _scores;
    readonly double _unknownScore;
    readonly int? _unknownId;
    readonly int[]? _byteIds;
    readonly string _jsonPath;

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

    /// <summary>The best way to a place: the token that ends there, where it starts and the score up to it.</summary>
    record struct ViterbiStep(int Id, int Start, double Score);

    public void Tokenize(ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        var best = new ViterbiStep[word.Length + 1];
        Array.Fill(best, new ViterbiStep(-1, -1, 0));
        for (int at = 0; at < word.Length;)
        {
            int rune = char.IsHighSurrogate(word[at]) && at + 1 < word.Length ? 2 : 1;
            double score = best[at].Score;
            bool hasSingle = false;
            int node = 0;
            for (int end = at; end < word.Length && _trie.Step(ref node, word[end]);)
            {
                end++;
                int id = _trie.ValueAt(node);
                if (id < 0) continue;
                Improve(ref best[end], id, at, score + _scores[id]);
                hasSingle |= end - at == rune;
            }
            if (!hasSingle)
                Improve(ref best[at + rune],
                    _unknownId ?? throw WordLevelModel.UnknownWord(_jsonPath, word.Slice(at, rune), null), at, score + _unknownScore);
            at += rune;
        }
        BacktrackTokens(best, word, start, tokens);
    }

    static void Improve(ref ViterbiStep step, int id, int from, double score)
    {
        if (step.Start < 0 || score > step.Score) step = new ViterbiStep(id, from, score);
    }

    /// <summary>Walks back from the end; the pieces come out reversed and are turned round.</summary>
    void BacktrackTokens(ViterbiStep[] best, ReadOnlySpan<char> word, int start, List<TokenSpan> tokens)
    {
        var spans = new List<(int Id, int Start, int End)>();
        for (int end = word.Length; end > 0; end = best[end].Start)
        {
            var (id, from, _) = best[end];
            if (id == _unknownId && spans.Count > 0 && spans[^1].Id == _unknownId && spans[^1].Start == end)
                spans[^1] = (id, from, spans[^1].End);
            else
                spans.Add((id, from, end));
        }
        for (int i = spans.Count - 1; i >= 0; i--)
        {
            var (id, from, end) = spans[i];
            var text = word[from..end];
            if (id != _unknownId)
                tokens.Add(new TokenSpan(id, start + from, start + end));
            else if (Vocabulary.IdOf(text) is { } known)
                tokens.Add(new TokenSpan(known, start + from, start + end));
            else
                AddUnknown(text, start + from, tokens);
        }
    }

    void AddUnknown(ReadOnlySpan<char> text, int start, List<TokenSpan> tokens)
    {
        byte[] utf8 = _byteIds is null ? [] : Encoding.UTF8.GetBytes(text.ToString());
        if (_byteIds is null || Array.Exists(utf8, b => _byteIds[b] < 0))
            tokens.Add(new TokenSpan(_unknownId!.Value, start, start + text.Length));
        else
            foreach (byte b in utf8) tokens.Add(new TokenSpan(_byteIds[b], start, start + text.Length));
    }
}
