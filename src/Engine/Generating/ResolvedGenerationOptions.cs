using Ndif.Engine.Generating.Logits;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Generating;

/// <summary>The options of a generation with a value for each, and what follows from several of them together.</summary>
/// <param name="values">Every option: the user's value, else that of the model's files, else the default.</param>
/// <param name="padTokenId">The token that follows the end of a row while other rows continue.</param>
/// <param name="warnings">What the generation does otherwise than its options and the model's files say.</param>
internal sealed class ResolvedGenerationOptions(Generation values, long padTokenId, IReadOnlyList<string> warnings)
{
    private HashSet<long>? _ends;

    public IReadOnlyList<string> Warnings => warnings;

    public Generation Values => values;

    public long PadTokenId => padTokenId;

    public int MaxNewTokens => (int)values.MaxNewTokens;

    public bool DoSample => values.Sample;

    public int NumBeams => (int)values.Beams;

    /// <summary>The seed that the user set; null asks for a random one.</summary>
    public ulong? Seed => values.HasSeed ? values.Seed : null;

    public IReadOnlyList<string> StopStrings { get; } = [.. values.Stop.Distinct()];

    /// <summary>The tokens that end a row; none if the generation ignores them.</summary>
    public IReadOnlyList<long> EosTokenIds { get; } = values.IgnoreEos ? [] : [.. values.Eos.Distinct()];

    /// <summary>Called between two parts of what is built for all rows; it may throw. Null if nobody waits for it.</summary>
    public Action? OnPart { private get; set; }

    /// <summary>The biases of sequences, for all rows with these options; null if there are none.</summary>
    public SequenceBiasLogitsProcessor? SequenceBias
    {
        get => field ??= values.SequenceBias is { Biases: { Count: > 0 } biases }
            ? new SequenceBiasLogitsProcessor(biases.Select(bias => ((IReadOnlyList<long>)bias.Ids, bias.Bias)), OnPart) : null;
        private set;
    }

    /// <summary>The sequences that never occur, for all rows with these options; null if there are none.</summary>
    public SequenceBiasLogitsProcessor? BadWords
    {
        get => field ??= values.BadWords is { Rows.Count: > 0 } words ? SequenceBiasLogitsProcessor.Forbid(words, IsEnd, OnPart) : null;
        private set;
    }

    /// <summary>The number of rows of the batch that each row of the input becomes.</summary>
    public int RowsPerInput => NumBeams > 1 ? NumBeams : SequencesPerInput;

    /// <summary>The number of sequences that come back for each row of the input.</summary>
    public int SequencesPerInput => (int)values.ReturnSequences;

    /// <summary>The number of tokens that a truncation leaves at least. A beam search must find candidates that do not end.</summary>
    /// <remarks>min_tokens_to_keep in _get_logits_processor, transformers/generation/utils.py</remarks>
    public int MinTokensToKeep => NumBeams > 1 ? Math.Max(2, EosTokenIds.Count + 1) : 1;

    /// <summary>Whether a token ends a row.</summary>
    public bool IsEnd(long token) => (_ends ??= [.. EosTokenIds]).Contains(token);

    /// <summary>Takes the sequences of other options where they are equal: an invoke often changes no more than its seed.</summary>
    public void ShareSequencesOf(ResolvedGenerationOptions other)
    {
        if (Equals(values.SequenceBias, other.Values.SequenceBias)) SequenceBias = other.SequenceBias;
        if (Equals(values.BadWords, other.Values.BadWords) && EosTokenIds.SequenceEqual(other.EosTokenIds)) BadWords = other.BadWords;
    }

    /// <param name="defaults">Those of the model.</param>
    /// <param name="requests">The options of the trace, then those of the invoke, which override them.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: the options contradict each other.</exception>
    public static ResolvedGenerationOptions Resolve(GenerationDefaults defaults, params ReadOnlySpan<Generation?> requests)
    {
        Generation values = defaults.Complete(requests);
        if (values.Beams > 1 && values.ReturnSequences > values.Beams)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"A beam search with {values.Beams} beams cannot return {values.ReturnSequences} sequences.",
                "Ask for at most as many sequences as beams.");
        if (values is { Beams: 1, ReturnSequences: > 1, Sample: false })
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"Without sampling, the {values.ReturnSequences} sequences asked for would all be the same.",
                "Set DoSample = true, or NumBeams.");
        if (values is { ExponentialDecay: not null, Eos.Count: 0, IgnoreEos: false })
            throw Errors.CreateException(ErrorCode.BadArgument,
                "The generation option `exponential_decay_length_penalty` needs a token that ends a row, and the model's files name none.",
                "Set EosTokenIds.");
        return new ResolvedGenerationOptions(
            values, defaults.PadTokenId ?? values.Eos.FirstOrDefault(), defaults.GetWarnings(requests));
    }
}
