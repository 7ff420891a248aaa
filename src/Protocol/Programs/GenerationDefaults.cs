namespace Ndif.Protocol.Programs;

/// <summary>
/// The options of a generation that its user does not set: those of generation_config.json (of config.json if there is no such file),
/// then the token ids of config.json, then Hugging Face's defaults. A generation that an option would change which is not applied here
/// is refused, or has a warning.
/// </summary>
/// <param name="Options">The options that the model's files set.</param>
/// <param name="BosTokenId">The token that begins a sequence; null if the files name none.</param>
/// <param name="PadTokenId">The token that follows the end of a row; null if the files name none.</param>
/// <remarks>transformers/generation/configuration_utils.py</remarks>
public sealed record GenerationDefaults(Generation Options, int? BosTokenId, int? PadTokenId)
{
    /// <summary>The token that the decoder of an encoder-decoder begins with; null if the files name none.</summary>
    public int? DecoderStartTokenId { get; init; }

    /// <summary>
    /// The number of new tokens of a row if neither the user nor a file sets it. Hugging Face's default max_length is 20, too.
    /// </summary>
    public const int DefaultMaxNewTokens = 20;

    /// <summary>The default of top_k in Hugging Face's GenerationConfig.</summary>
    public const int DefaultTopK = 50;

    /// <summary>The options of the files that are not applied here.</summary>
    internal IReadOnlyList<UnappliedGenerationOption> Unapplied { get; init; } = [];

    /// <summary>Why options of the files cannot be used. They are none of <see cref="Options"/>.</summary>
    internal IReadOnlyList<GenerationFault> Faults { get; init; } = [];

    /// <summary>What a generation should know of the files, each after their name.</summary>
    internal IReadOnlyList<string> FileWarnings { get; init; } = [];

    /// <summary>The file of the options, for error messages.</summary>
    internal string Source { get; init; } = "generation_config.json";

    /// <summary>
    /// Completes the options that a user asks for. A later request overrides an earlier one, a request the model's files, and these the
    /// defaults. An option that has an effect only on sampling turns sampling on where a request does not set it.
    /// </summary>
    /// <param name="requests">The options of the trace, then those of the invoke; null for none.</param>
    /// <exception cref="NdifException">
    /// BAD_CHECKPOINT: an option of the model's files, which this generation needs, is of the wrong kind or out of its bounds; BAD_ARGUMENT
    /// if it is a sampling option of files that do not sample. UNSUPPORTED: an option of the model's files would change the generation and
    /// is not applied here.
    /// </exception>
    public Generation Complete(params ReadOnlySpan<Generation?> requests)
    {
        Generation complete = Merge(requests);
        if (UsesModelDefaults(requests))
            foreach (GenerationFault fault in Faults)
                if (fault.Concerns(complete, requests))
                    throw fault.CreateException(Options.Sample);
        if (FindActiveOptions(complete, requests).FirstOrDefault(option => option.IsRefused) is { } refused)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"{Source} sets `{refused.Name}`, which {refused.Effect}. This version does not have it.",
                "Set UseModelDefaults = false to generate without the options of the model's files.");
        // as in Hugging Face, min_new_tokens takes precedence
        if (complete.HasMinNewTokens) complete.ClearMinLength();
        if (complete.EarlyStopping is EarlyStopping.Unspecified) complete.ClearEarlyStopping();
        foreach (GenerationOption option in GenerationOptionTable.Rows)
        {
            option.SetDefault(complete);
            if (option.IsSamplingOnly && complete.Sample) option.Validate(complete);
        }
        return complete;
    }

    /// <summary>What a generation does otherwise than its options and the model's files say, one sentence each.</summary>
    /// <param name="requests">As for <see cref="Complete"/>.</param>
    public IReadOnlyList<string> GetWarnings(params ReadOnlySpan<Generation?> requests)
    {
        Generation merged = Merge(requests);
        List<string> warnings =
            [.. from option in FindActiveOptions(merged, requests)
                where !option.IsRefused
                select $"{Source} sets `{option.Name}`, which is not applied: it {option.Effect}."];
        if (merged.Eos.SequenceEqual(Options.Eos)) warnings.AddRange(FileWarnings.Select(warning => $"{Source} {warning}"));
        if (merged is { HasMinNewTokens: true, MinLength: > 0 })
            warnings.Add("Both `min_new_tokens` and `min_length` are set; `min_new_tokens` takes precedence.");
        return warnings;
    }

    /// <summary>Reads generation_config.json and config.json, for a generation with its defaults.</summary>
    /// <exception cref="NdifException">
    /// BAD_CHECKPOINT: a file is not JSON, or an option of it that has an effect is of the wrong kind or out of its bounds.
    /// </exception>
    public static GenerationDefaults FromModel(ModelDescription model)
    {
        GenerationDefaults defaults = Read(model);
        foreach (GenerationFault fault in defaults.Faults)
            if (fault.Concerns(defaults.Options, [])) throw fault.CreateException(defaults.Options.Sample);
        return defaults;
    }

    /// <summary>
    /// Reads generation_config.json and config.json without an error: an option that cannot be used is an error of <see cref="Complete"/>,
    /// if the generation needs it.
    /// </summary>
    public static GenerationDefaults Read(ModelDescription model)
    {
        using var reader = new GenerationConfigReader(model);
        return reader.Read();
    }

    /// <summary>The options of the files and the requests, without defaults.</summary>
    private Generation Merge(ReadOnlySpan<Generation?> requests)
    {
        Generation merged = UsesModelDefaults(requests) ? Options.Clone() : new Generation { Eos = { Options.Eos } };
        foreach (Generation? request in requests)
        {
            if (request is null) continue;
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (option.IsSet(request)) option.Clear(merged); // a message or a list is replaced, not extended
            if (request is { HasNoStop: true, NoStop: true }) GenerationOptionTable.Stop.Clear(merged);
            if (request is { HasIgnoreEos: false, Eos.Count: > 0 }) merged.ClearIgnoreEos(); // an earlier request had no such tokens
            merged.MergeFrom(request);
            if (!request.HasSample && GenerationOptionsValidator.HasSamplingOption(request)) merged.Sample = true;
        }
        return merged;
    }

    private IEnumerable<UnappliedGenerationOption> FindActiveOptions(Generation merged, ReadOnlySpan<Generation?> requests) =>
        UsesModelDefaults(requests) ? Unapplied.Where(option => option.IsActive(merged)) : [];

    private static bool UsesModelDefaults(ReadOnlySpan<Generation?> requests)
    {
        foreach (Generation? request in requests)
            if (request is { HasUseModelDefaults: true, UseModelDefaults: false }) return false;
        return true;
    }
}
