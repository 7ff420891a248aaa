using Ndif.Protocol;

namespace Ndif;

/// <summary>From a call's arguments to a program's options: what is not given stays open, for the model's own defaults.</summary>
internal static class GenerationOptionsBuilder
{
    public static Generation Build(
        int? maxNewTokens, bool? sample, double? temperature, int? topK, double? topP, double? minP, double? typicalP, double? repetitionPenalty,
        int? noRepeatNgram, long? seed, IEnumerable<string>? stop, IEnumerable<int>? eos, bool? ignoreEos, int? minNewTokens)
    {
        var g = new Generation();
        if (RequireNonNegative(maxNewTokens, nameof(maxNewTokens)) is { } most) g.MaxNewTokens = most;
        if (RequireNonNegative(minNewTokens, nameof(minNewTokens)) is { } least) g.MinNewTokens = least;
        if (RequireNonNegative(topK, nameof(topK)) is { } k) g.TopK = k;
        if (RequireNonNegative(noRepeatNgram, nameof(noRepeatNgram)) is { } ngram) g.NoRepeatNgram = ngram;
        if (sample is { } drawn) g.Sample = drawn;
        if (temperature is { } t) g.Temperature = t;
        if (topP is { } p) g.TopP = p;
        if (minP is { } min) g.MinP = min;
        if (typicalP is { } typical) g.TypicalP = typical;
        if (repetitionPenalty is { } penalty) g.RepetitionPenalty = penalty;
        if (seed is { } begin) g.Seed = unchecked((ulong)begin);
        if (stop is not null) g.Stop.AddRange(stop);
        if (eos is not null) g.Eos.AddRange(eos.Select(id => (long)id));
        if (ignoreEos is { } ignore) g.IgnoreEos = ignore;
        return g;
    }

    public static uint? RequireNonNegative(int? number, string name) => number is null ? null : number >= 0 ? (uint)number
        : throw new ArgumentOutOfRangeException(name, number, "It cannot be negative.");
}
