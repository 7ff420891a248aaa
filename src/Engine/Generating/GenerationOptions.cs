using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Engine.Generating;

/// <summary>
/// How rows are continued, complete: what the user said goes before what the model's files say, and that before Hugging Face's
/// defaults. An option that only sampling has, given without <c>sample</c>, asks for sampling.
/// </summary>
internal sealed record GenerationOptions
{
    public required int MaxNewTokens { get; init; }

    public required int MinNewTokens { get; init; }

    public required bool DoSample { get; init; }

    public required double Temperature { get; init; }

    /// <summary>0: all.</summary>
    public required int TopK { get; init; }

    public required double TopP { get; init; }

    public required double MinP { get; init; }

    public required double TypicalP { get; init; }

    public required double RepetitionPenalty { get; init; }

    public required int NoRepeatNgramSize { get; init; }

    public required int NumBeams { get; init; }

    public required int NumReturnSequences { get; init; }

    public required double LengthPenalty { get; init; }

    public required EarlyStopping EarlyStopping { get; init; }

    /// <summary>Null: anywhere.</summary>
    public required ulong? Seed { get; init; }

    public required IReadOnlyList<string> StopStrings { get; init; }

    /// <summary>Any of these ends a row; none if the ends of text are to be ignored.</summary>
    public required IReadOnlyList<long> EosTokenIds { get; init; }

    /// <summary>What follows a row's end while others go on.</summary>
    public required long PadTokenId { get; init; }

    public required bool IsStreaming { get; init; }

    /// <summary>How many rows of the batch each row of the input becomes.</summary>
    public int RowsPerInput => NumBeams > 1 ? NumBeams : NumReturnSequences;

    /// <summary>How many sequences come back for each row of the input.</summary>
    public int SequencesPerInput => NumReturnSequences;

    /// <summary>A truncation leaves at least so many tokens to choose from; a beam search must find candidates that do not end.</summary>
    /// <remarks>min_tokens_to_keep in _get_logits_processor, transformers/generation/utils.py</remarks>
    public int MinTokensToKeep => NumBeams > 1 ? Math.Max(2, EosTokenIds.Count + 1) : 1;

    /// <param name="requested">The trace's, and then the invoke's own; the later goes before the earlier.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: the options do not go together.</exception>
    public static GenerationOptions Resolve(GenerationDefaults defaults, params ReadOnlySpan<Generation?> requested)
    {
        Generation g = defaults.Options.Clone();
        foreach (Generation? options in requested)
        {
            if (options is null) continue;
            if (options.Eos.Count > 0) g.Eos.Clear();
            if (options.Stop.Count > 0) g.Stop.Clear();
            g.MergeFrom(options);
            if (!options.HasSample && GenerationOptionsValidator.HasSamplingOption(options)) g.Sample = true;
        }
        int beams = g.HasBeams ? (int)g.Beams : 1, sequences = g.HasReturnSequences ? (int)g.ReturnSequences : 1;
        if (beams > 1 && sequences > beams)
            throw Errors.CreateException(ErrorCode.BadArgument, $"A beam search with {beams} beams has no {sequences} sequences to return.", "Ask for at most as many as there are beams.");
        if (beams == 1 && sequences > 1 && !g.Sample)
            throw Errors.CreateException(ErrorCode.BadArgument, $"Without sampling, the {sequences} sequences asked for would all be the same.", "Pass sample: true, or beams.");
        long[] eos = [.. g.Eos.Distinct()];
        return new GenerationOptions
        {
            MaxNewTokens = g.HasMaxNewTokens ? (int)g.MaxNewTokens : GenerationDefaults.DefaultMaxNewTokens,
            MinNewTokens = (int)g.MinNewTokens,
            DoSample = g.Sample,
            Temperature = g.HasTemperature ? g.Temperature : 1,
            TopK = g.HasTopK ? (int)g.TopK : GenerationDefaults.DefaultTopK,
            TopP = g.HasTopP ? g.TopP : 1,
            MinP = g.MinP,
            TypicalP = g.HasTypicalP ? g.TypicalP : 1,
            RepetitionPenalty = g.HasRepetitionPenalty ? g.RepetitionPenalty : 1,
            NoRepeatNgramSize = (int)g.NoRepeatNgram,
            NumBeams = beams,
            NumReturnSequences = sequences,
            LengthPenalty = g.HasLengthPenalty ? g.LengthPenalty : 1,
            EarlyStopping = g.HasEarlyStopping && g.EarlyStopping is not EarlyStopping.Unspecified ? g.EarlyStopping : EarlyStopping.Heuristic,
            Seed = g.HasSeed ? g.Seed : null,
            StopStrings = [.. g.Stop.Distinct()],
            EosTokenIds = g.IgnoreEos ? [] : eos,
            PadTokenId = defaults.PadTokenId ?? (eos.Length > 0 ? eos[0] : 0),
            IsStreaming = g.Stream,
        };
    }
}
