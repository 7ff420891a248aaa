using Ndif.Protocol;

namespace Ndif.Engine.Generating;

/// <summary>
/// How rows are continued, complete: what the user said goes before what the model's files say, and that before Hugging Face's
/// defaults. An option that only sampling has, given without <c>sample</c>, asks for sampling.
/// </summary>
internal sealed record GenerationOptions
{
    public required int MaxNewTokens { get; init; }

    public required int MinNewTokens { get; init; }

    public required bool Sample { get; init; }

    public required double Temperature { get; init; }

    /// <summary>0: all.</summary>
    public required int TopK { get; init; }

    public required double TopP { get; init; }

    public required double MinP { get; init; }

    public required double TypicalP { get; init; }

    public required double RepetitionPenalty { get; init; }

    public required int NoRepeatNgram { get; init; }

    public required int Beams { get; init; }

    public required int ReturnSequences { get; init; }

    public required double LengthPenalty { get; init; }

    public required EarlyStopping EarlyStopping { get; init; }

    /// <summary>Null: anywhere.</summary>
    public required ulong? Seed { get; init; }

    public required IReadOnlyList<string> Stop { get; init; }

    /// <summary>Any of these ends a row; none if the ends of text are to be ignored.</summary>
    public required IReadOnlyList<long> Eos { get; init; }

    /// <summary>What follows a row's end while others go on.</summary>
    public required long Pad { get; init; }

    public required bool Stream { get; init; }

    /// <summary>How many rows of the batch each row of the input becomes.</summary>
    public int Copies => Beams > 1 ? Beams : ReturnSequences;

    /// <summary>How many sequences come back for each row of the input.</summary>
    public int Results => ReturnSequences;

    /// <summary>A truncation leaves at least so many tokens to choose from; a beam search must find candidates that do not end.</summary>
    /// <remarks>min_tokens_to_keep in _get_logits_processor, transformers/generation/utils.py</remarks>
    public int LeastKept => Beams > 1 ? Math.Max(2, Eos.Count + 1) : 1;

    /// <param name="asked">The trace's, and then the invoke's own; the later goes before the earlier.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: the options do not go together.</exception>
    public static GenerationOptions Of(GenerationDefaults defaults, params ReadOnlySpan<Generation?> asked)
    {
        Generation g = defaults.Options.Clone();
        foreach (Generation? options in asked)
        {
            if (options is null) continue;
            if (options.Eos.Count > 0) g.Eos.Clear();
            if (options.Stop.Count > 0) g.Stop.Clear();
            g.MergeFrom(options);
            if (!options.HasSample && GenerationRules.AsksForSampling(options)) g.Sample = true;
        }
        int beams = g.HasBeams ? (int)g.Beams : 1, sequences = g.HasReturnSequences ? (int)g.ReturnSequences : 1;
        if (beams > 1 && sequences > beams)
            throw Errors.Throwable(ErrorCode.BadArgument, $"A beam search with {beams} beams has no {sequences} sequences to return.", "Ask for at most as many as there are beams.");
        if (beams == 1 && sequences > 1 && !g.Sample)
            throw Errors.Throwable(ErrorCode.BadArgument, $"Without sampling, the {sequences} sequences asked for would all be the same.", "Pass sample: true, or beams.");
        long[] eos = [.. g.Eos.Distinct()];
        return new GenerationOptions
        {
            MaxNewTokens = g.HasMaxNewTokens ? (int)g.MaxNewTokens : GenerationDefaults.NewTokens,
            MinNewTokens = (int)g.MinNewTokens,
            Sample = g.Sample,
            Temperature = g.HasTemperature ? g.Temperature : 1,
            TopK = g.HasTopK ? (int)g.TopK : GenerationDefaults.TopK,
            TopP = g.HasTopP ? g.TopP : 1,
            MinP = g.MinP,
            TypicalP = g.HasTypicalP ? g.TypicalP : 1,
            RepetitionPenalty = g.HasRepetitionPenalty ? g.RepetitionPenalty : 1,
            NoRepeatNgram = (int)g.NoRepeatNgram,
            Beams = beams,
            ReturnSequences = sequences,
            LengthPenalty = g.HasLengthPenalty ? g.LengthPenalty : 1,
            EarlyStopping = g.HasEarlyStopping && g.EarlyStopping is not EarlyStopping.Unspecified ? g.EarlyStopping : EarlyStopping.Heuristic,
            Seed = g.HasSeed ? g.Seed : null,
            Stop = [.. g.Stop.Distinct()],
            Eos = g.IgnoreEos ? [] : eos,
            Pad = defaults.PadId ?? (eos.Length > 0 ? eos[0] : 0),
            Stream = g.Stream,
        };
    }
}
