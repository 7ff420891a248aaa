namespace Ndif.Protocol.Programs;

/// <summary>
/// The options of a generation, one row each: the name in generation_config.json, the default and the bounds. The reader of that file,
/// the validator and the engine's defaults all follow from a row. To add an option, see docs/checklists/add-a-generation-option.md.
/// </summary>
/// <remarks>
/// GenerationConfig in transformers/generation/configuration_utils.py: names, defaults, and validate(); the bounds of the sampling
/// options are those of the constructors in transformers/generation/logits_process.py. What the file may set besides these is in
/// <see cref="UnappliedGenerationOption"/>.
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

    public static GenerationOption ForcedBos { get; } =
        new(Generation.ForcedBosFieldNumber, "forced_bos_token_id", "a token id", id => (long)id >= 0) { IsOfVocabulary = true };

    private static Func<object, bool> AreTokens { get; } = value => GenerationOptionValues.TokenIds(value).All(id => id >= 0);

    private static Func<object, bool> AreSequences { get; } = value => AreTokens(value) && value switch
    {
        TokenRows rows => rows.Rows.All(row => row.Ids.Count > 0),
        SequenceBiases biases => biases.Biases.All(bias => bias.Ids.Count > 0 && bias.Bias < double.PositiveInfinity),
        _ => false,
    };

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
        new(Generation.TopPFieldNumber, "top_p", "at least 0 and at most 1", p => (double)p is >= 0 and <= 1)
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
        new(Generation.MinLengthFieldNumber, "min_length", $"at most {int.MaxValue / 2}", count => (uint)count <= int.MaxValue / 2)
        { Default = 0u },
        new(Generation.SuppressTokensFieldNumber, "suppress_tokens", "a list of token ids", AreTokens)
        { Form = "a list of token ids", IsOfVocabulary = true },
        new(Generation.BeginSuppressTokensFieldNumber, "begin_suppress_tokens", "a list of token ids", AreTokens)
        { Form = "a list of token ids", IsOfVocabulary = true },
        new(Generation.BadWordsFieldNumber, "bad_words_ids", "a list of sequences of at least one token id", AreSequences)
        { Form = "a list of lists of token ids, not empty", IsOfVocabulary = true, RequiresItems = true },
        ForcedBos,
        new(Generation.ForcedEosFieldNumber, "forced_eos_token_id", "token ids", AreTokens)
        { Form = "a token id or a list of them, not empty", IsOfVocabulary = true, RequiresItems = true },
        new(Generation.SequenceBiasFieldNumber, "sequence_bias",
            "a list of sequences of at least one token id, each with a bias below infinity", AreSequences)
        { Form = "a list of pairs of token ids and a bias, not empty", IsOfVocabulary = true, RequiresItems = true },
        new(Generation.EncoderRepetitionPenaltyFieldNumber, "encoder_repetition_penalty", "above 0; 1 is none",
            penalty => (double)penalty is > 0 and < double.PositiveInfinity)
        { Default = 1.0 },
        new(Generation.EncoderNoRepeatNgramFieldNumber, "encoder_no_repeat_ngram_size", "a length, or 0 for none",
            length => (uint)length <= int.MaxValue)
        { Default = 0u },
        new(Generation.ExponentialDecayFieldNumber, "exponential_decay_length_penalty", "a start and a finite factor of at least 0",
            decay => decay is ExponentialDecay { Start: <= int.MaxValue, Factor: >= 0 and < double.PositiveInfinity })
        { Form = "a list of a start and a factor" },
        new(Generation.RemoveInvalidValuesFieldNumber, "remove_invalid_values") { Default = false },
        new(Generation.RenormalizeLogitsFieldNumber, "renormalize_logits") { Default = false },
        new(Generation.EpsilonCutoffFieldNumber, "epsilon_cutoff", "at least 0 and below 1", cutoff => (double)cutoff is >= 0 and < 1)
        { Default = 0.0, IsSamplingOnly = true },
        new(Generation.EtaCutoffFieldNumber, "eta_cutoff", "at least 0 and below 1", cutoff => (double)cutoff is >= 0 and < 1)
        { Default = 0.0, IsSamplingOnly = true },
        new(Generation.TopHFieldNumber, "top_h", "above 0 and at most 1", h => (double)h is > 0 and <= 1) { IsSamplingOnly = true },
        new(Generation.UseModelDefaultsFieldNumber, "use_model_defaults") { IsRequestOnly = true, IsTraceWide = true },
        new(Generation.NoStopFieldNumber, "no_stop_strings") { IsRequestOnly = true },
        new(Generation.IgnoreEosFieldNumber, "ignore_eos") { IsRequestOnly = true },
        new(Generation.SeedFieldNumber, "seed") { IsRequestOnly = true },
        new(Generation.StreamFieldNumber, "stream") { IsRequestOnly = true, IsTraceWide = true },
    ];
}
