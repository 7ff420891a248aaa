using System.Text.Json;

namespace Ndif.Engine.Tests.Generating;

/// <summary>
/// A slow greedy generation of one row with the options of a generation_config.json, written from the definitions in
/// transformers/generation/logits_process.py and the order of _get_logits_processor in utils.py, one option after the other.
/// </summary>
/// <param name="config">The text of generation_config.json.</param>
/// <param name="logits">The logits of the next token of a row. [vocab]</param>
internal sealed class HuggingFaceGeneration(string config, Func<long[], float[]> logits)
{
    private readonly JsonElement _config = JsonDocument.Parse(config).RootElement;

    /// <summary>The prompt and the new tokens.</summary>
    public long[] Generate(long[] prompt, int maxNewTokens)
    {
        List<long> row = [.. prompt];
        while (row.Count < prompt.Length + maxNewTokens)
        {
            float[] scores = Process([.. row], prompt, prompt.Length + maxNewTokens, logits([.. row]));
            int best = Array.IndexOf(scores, scores.Max());
            row.Add(best);
            if (Ids("eos_token_id").Contains(best)) break;
        }
        return [.. row];
    }

    /// <summary>The scores after all processors.</summary>
    public float[] Process(long[] row, long[] prompt, int maxLength, float[] scores)
    {
        scores = [.. scores];
        long[] eos = Ids("eos_token_id");
        if (Get("sequence_bias") is { } biases)
            foreach (JsonElement pair in biases.EnumerateArray()) AddBias(Ids(pair[0]), pair[1].GetSingle());
        if (Get("encoder_repetition_penalty") is { } promptPenalty) Penalize(prompt, 1 / promptPenalty.GetDouble());
        if (Get("repetition_penalty") is { } penalty) Penalize(row, penalty.GetDouble());
        if (Get("no_repeat_ngram_size") is { } size) BanNgrams(row, size.GetInt32());
        if (Get("encoder_no_repeat_ngram_size") is { } promptSize) BanNgrams(prompt, promptSize.GetInt32());
        if (Get("bad_words_ids") is { } words)
            foreach (JsonElement word in words.EnumerateArray())
                if (Ids(word) is not [var only] || !eos.Contains(only)) AddBias(Ids(word), float.NegativeInfinity);
        if (Get("min_length") is { } minLength && row.Length < minLength.GetInt32()) Ban(eos);
        if (Get("min_new_tokens") is { } minNew && row.Length - prompt.Length < minNew.GetInt32()) Ban(eos);
        if (Get("forced_bos_token_id") is { } bos && row.Length == 1) Force([bos.GetInt64()]);
        if (Get("forced_eos_token_id") is not null && row.Length == maxLength - 1) Force(Ids("forced_eos_token_id"));
        if (Get("remove_invalid_values") is { ValueKind: JsonValueKind.True })
            scores = [.. scores.Select(s => float.IsNaN(s) ? 0 : s == float.PositiveInfinity ? float.MaxValue
                : s == float.NegativeInfinity ? float.MinValue : s)];
        if (Get("exponential_decay_length_penalty") is { } decay && row.Length > decay[0].GetInt32() + prompt.Length)
            foreach (long end in eos.Distinct())
                scores[end] += Math.Abs(scores[end])
                    * (float)(Math.Pow(decay[1].GetDouble(), row.Length - decay[0].GetInt32() - prompt.Length) - 1);
        Ban(Ids("suppress_tokens"));
        int begin = prompt.Length > 1 || Get("forced_bos_token_id") is null ? prompt.Length : prompt.Length + 1;
        if (row.Length == begin) Ban(Ids("begin_suppress_tokens"));
        if (Get("renormalize_logits") is { ValueKind: JsonValueKind.True })
        {
            double log = Math.Log(scores.Sum(s => Math.Exp((double)s)));
            scores = [.. scores.Select(s => (float)(s - log))];
        }
        return scores;

        void Ban(IEnumerable<long> ids)
        {
            foreach (long id in ids)
                if (id >= 0 && id < scores.Length) scores[id] = float.NegativeInfinity;
        }

        void Force(long[] ids) => scores = [.. scores.Select((_, id) => ids.Contains(id) ? 0 : float.NegativeInfinity)];

        void Penalize(long[] seen, double penalty)
        {
            foreach (long id in seen.Distinct()) scores[id] = (float)(scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty);
        }

        void BanNgrams(long[] source, int n)
        {
            if (row.Length + 1 < n) return;
            string last = string.Join(',', row.TakeLast(n - 1));
            for (int i = 0; i + n <= source.Length; i++)
                if (string.Join(',', source.Skip(i).Take(n - 1)) == last) Ban([source[i + n - 1]]);
        }

        void AddBias(long[] sequence, float bias)
        {
            bool isLast = sequence.Length == 1
                || (sequence.Length <= row.Length && row.TakeLast(sequence.Length - 1).SequenceEqual(sequence.SkipLast(1)));
            if (isLast) scores[sequence[^1]] += bias;
        }
    }

    private JsonElement? Get(string name) =>
        _config.TryGetProperty(name, out JsonElement value) && value.ValueKind is not JsonValueKind.Null ? value : null;

    private long[] Ids(string name) => Get(name) is { } value ? Ids(value) : [];

    private static long[] Ids(JsonElement value) =>
        value.ValueKind is JsonValueKind.Number ? [value.GetInt64()] : [.. value.EnumerateArray().Select(id => id.GetInt64())];
}
