namespace Ndif.Protocol.Programs;

/// <summary>
/// The options of a generation, one row each: the name in generation_config.json, the default and the bounds. The reader of that file,
/// the validator and the engine's defaults all follow from a row. To add an option, see docs/checklists/add-a-generation-option.md.
/// </summary>
/// <remarks>
/// GenerationConfig in transformers/generation/configuration_utils.py: names, defaults, and validate(); the bounds of the sampling
/// options are those of the constructors in transformers/generation/logits_process.py.
/// </remarks>
internal static class GenerationOptionTable
{
    /// <summary>The end-of-sequence tokens; config.json may contain them too.</summary>
    public static GenerationOption Eos { get; } =
        new(Generation.EosFieldNumber, "eos_token_id", "a token id", id => (long)id >= 0);

    public static GenerationOption MinNewTokens { get; } = new(Generation.MinNewTokensFieldNumber, "min_new_tokens") { Default = 0u };

    public static GenerationOption Stop { get; } = new(Generation.StopFieldNumber, "stop_strings",
        $"of 1 to {GenerationOptionsValidator.MaxStopStringLength} characters",
        text => ((string)text).Length is >= 1 and <= GenerationOptionsValidator.MaxStopStringLength);

    public static GenerationOption ReturnSequences { get; } = new(Generation.ReturnSequencesFieldNumber, "num_return_sequences",
        $"1 to {GenerationOptionsValidator.MaxReturnSequences}",
        count => (uint)count is >= 1 and <= GenerationOptionsValidator.MaxReturnSequences)
    { Default = 1u, IsTraceWide = true };

    public static IReadOnlyList<GenerationOption> Rows { get; } =
    [
        new(Generation.MaxNewTokensFieldNumber, "max_new_tokens", $"at most {int.MaxValue / 2}", count => (uint)count <= int.MaxValue / 2)
        { Default = (uint)GenerationDefaults.DefaultMaxNewTokens },
        MinNewTokens,
        new(Generation.SampleFieldNumber, "do_sample"),
        new(Generation.TemperatureFieldNumber, "temperature", "above 0", t => (double)t is > 0 and < double.PositiveInfinity)
        { Default = 1.0, IsSamplingOnly = true, Hint = "To always choose the most likely token, set DoSample = false." },
        new(Generation.TopKFieldNumber, "top_k", "a number of tokens, or 0 for all", k => (uint)k <= int.MaxValue)
        { Default = (uint)GenerationDefaults.DefaultTopK, IsSamplingOnly = true },
        new(Generation.TopPFieldNumber, "top_p", "above 0 and at most 1", p => (double)p is > 0 and <= 1)
        { Default = 1.0, IsSamplingOnly = true },
        new(Generation.MinPFieldNumber, "min_p", "between 0 and 1", p => (double)p is >= 0 and <= 1)
        { Default = 0.0, IsSamplingOnly = true },
        new(Generation.TypicalPFieldNumber, "typical_p", "above 0 and at most 1", p => (double)p is > 0 and <= 1)
        { Default = 1.0, IsSamplingOnly = true },
        new(Generation.RepetitionPenaltyFieldNumber, "repetition_penalty", "above 0; 1 is none",
            penalty => (double)penalty is > 0 and < double.PositiveInfinity)
        { Default = 1.0 },
        new(Generation.NoRepeatNgramFieldNumber, "no_repeat_ngram_size", "a length, or 0 for none", length => (uint)length <= int.MaxValue)
        { Default = 0u },
        new(Generation.BeamsFieldNumber, "num_beams", $"1 to {GenerationOptionsValidator.MaxBeams}",
            count => (uint)count is >= 1 and <= GenerationOptionsValidator.MaxBeams) { Default = 1u, IsTraceWide = true },
        ReturnSequences,
        new(Generation.LengthPenaltyFieldNumber, "length_penalty", "a finite number", penalty => double.IsFinite((double)penalty))
        { Default = 1.0, IsTraceWide = true },
        new(Generation.EarlyStoppingFieldNumber, "early_stopping", "a known value", stopping => Enum.IsDefined((EarlyStopping)stopping))
        { Default = EarlyStopping.Heuristic, IsTraceWide = true },
        Stop,
        Eos,
        new(Generation.IgnoreEosFieldNumber, "ignore_eos") { IsRequestOnly = true },
        new(Generation.SeedFieldNumber, "seed") { IsRequestOnly = true },
        new(Generation.StreamFieldNumber, "stream") { IsRequestOnly = true, IsTraceWide = true },
    ];
}
