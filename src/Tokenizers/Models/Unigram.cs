using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// SentencePiece's unigram model: the split of a word whose scores add up to the most, found by Viterbi's algorithm
/// (Kudo 2018, arXiv:1804.10959). Neighbouring unknown runes become one token.
/// </summary>
internal sealed class Unigram : IModel
{
    /// <summary>How much worse than the worst token an unknown rune is (sentencepiece, unigram_model.cc).</summary>
    const double UnknownPenalty = 10;

    readonly CharTrie _trie = new();
    readonly double[] _scores;
    readonly double _unknownScore;
    readonly int? _unknown;
    readonly int[]? _byteIds;
    readonly string _part;

    public Unigram(Vocabulary vocabulary, double[] scores, int? unknown, bool byteFallback, string part)
    {
        Vocabulary = vocabulary;
        _scores = scores;
        _unknown = unknown;
        _part = part;
        _unknownScore = (scores.Length > 0 ? scores.Min() : 0) - UnknownPenalty;
        _byteIds = byteFallback ? vocabulary.ByteIds() : null;
        foreach (string token in vocabulary.Tokens)
            if (token.Length > 0) _trie.Add(token, vocabulary.IdOf(token)!.Value);
    }

    public Vocabulary Vocabulary { get; }

    /// <summary>The best way to a place: the token that ends there, where it starts and the score up to it.</summary>
    record struct Step(int Id, int Start, double Score);

    public void Tokenize(ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        var best = new Step[word.Length + 1];
        Array.Fill(best, new Step(-1, -1, 0));
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
                    _unknown ?? throw WordLevel.Unknown(_part, word.Slice(at, rune), null), at, score + _unknownScore);
            at += rune;
        }
        Collect(best, word, start, pieces);
    }

    static void Improve(ref Step step, int id, int from, double score)
    {
        if (step.Start < 0 || score > step.Score) step = new Step(id, from, score);
    }

    /// <summary>Walks back from the end; the pieces come out reversed and are turned round.</summary>
    void Collect(Step[] best, ReadOnlySpan<char> word, int start, List<Piece> pieces)
    {
        var spans = new List<(int Id, int Start, int End)>();
        for (int end = word.Length; end > 0; end = best[end].Start)
        {
            var (id, from, _) = best[end];
            if (id == _unknown && spans.Count > 0 && spans[^1].Id == _unknown && spans[^1].Start == end)
                spans[^1] = (id, from, spans[^1].End);
            else
                spans.Add((id, from, end));
        }
        for (int i = spans.Count - 1; i >= 0; i--)
        {
            var (id, from, end) = spans[i];
            var text = word[from..end];
            if (id != _unknown)
                pieces.Add(new Piece(id, start + from, start + end));
            else if (Vocabulary.IdOf(text) is { } known)
                pieces.Add(new Piece(known, start + from, start + end));
            else
                AddUnknown(text, start + from, pieces);
        }
    }

    void AddUnknown(ReadOnlySpan<char> text, int start, List<Piece> pieces)
    {
        byte[] utf8 = _byteIds is null ? [] : Encoding.UTF8.GetBytes(text.ToString());
        if (_byteIds is null || Array.Exists(utf8, b => _byteIds[b] < 0))
            pieces.Add(new Piece(_unknown!.Value, start, start + text.Length));
        else
            foreach (byte b in utf8) pieces.Add(new Piece(_byteIds[b], start, start + text.Length));
    }
}
