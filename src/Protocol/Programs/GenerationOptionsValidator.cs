namespace Ndif.Protocol.Programs;

/// <summary>Checks the options of a generation: the client while it records, the gateway and the engine before a run.</summary>
/// <remarks>
/// GenerationConfig.validate in transformers/generation/configuration_utils.py, and the constructors in logits_process.py
/// </remarks>
public static class GenerationOptionsValidator
{
    /// <summary>The largest number of beams.</summary>
    public const int MaxBeams = 64;

    /// <summary>The largest number of sequences that come back for one row.</summary>
    public const int MaxReturnSequences = 256;

    /// <summary>The largest number of stop strings.</summary>
    public const int MaxStopStrings = 64;

    /// <summary>The largest length of a stop string, in characters.</summary>
    public const int MaxStopStringLength = 256;

    /// <summary>Checks each option against its bounds, and the options against each other.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: names the option, its value and the allowed values.</exception>
    public static void Validate(Generation options)
    {
        foreach (GenerationOption option in GenerationOptionTable.Rows) option.Validate(options);
        if (options is { HasMinNewTokens: true, HasMaxNewTokens: true } && options.MinNewTokens > options.MaxNewTokens)
            throw GenerationOptionTable.MinNewTokens.CreateException(
                options.MinNewTokens, $"at most max_new_tokens, {options.MaxNewTokens}");
        if (options is { HasBeams: true, Beams: > 1, HasReturnSequences: true } && options.ReturnSequences > options.Beams)
            throw GenerationOptionTable.ReturnSequences.CreateException(
                options.ReturnSequences, $"at most the number of beams, {options.Beams}");
        if (options.Stop.Count > MaxStopStrings)
            throw GenerationOptionTable.Stop.CreateException($"a list of {options.Stop.Count} texts", $"at most {MaxStopStrings} texts");
        if (options is { HasSample: true, Sample: false } && FirstSamplingOption(options) is { } sampling)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The generation option `{sampling}` has no effect without sampling, and do_sample is false.",
                $"Remove `{sampling}`, or set DoSample = true.");
        if (options is { HasStream: true, Stream: true, HasBeams: true, Beams: > 1 })
            throw Errors.CreateException(ErrorCode.BadArgument,
                "A beam search cannot stream tokens: the best beam is known only at the end.",
                "Stream with one beam, or read t.Result.");
    }

    /// <summary>Checks that the tokens of the options are in the vocabulary of a model.</summary>
    /// <param name="vocabSize">The number of tokens; 0 if it is not known.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: names the option and the token.</exception>
    public static void ValidateVocabulary(Generation options, uint vocabSize)
    {
        if (vocabSize == 0) return;
        foreach (GenerationOption option in GenerationOptionTable.Rows) option.ValidateVocabulary(options, vocabSize);
    }

    /// <summary>True if an option is set for which a program requires <see cref="ProgramFormat.LogitsProcessors"/>.</summary>
    public static bool RequiresLogitsProcessors(Generation options) =>
        GenerationOptionTable.Rows.Any(option => option.FieldNumber >= Generation.SuppressTokensFieldNumber && option.IsSet(options));

    /// <summary>Checks the options of one invoke. Those that apply to a whole trace are refused.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public static void ValidateForInvoke(Generation options)
    {
        Validate(options);
        if (GenerationOptionTable.Rows.FirstOrDefault(option => option.IsTraceWide && option.IsSet(options))?.Name is { } name)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The generation option `{name}` applies to the whole trace, not to one invoke.",
                $"Pass `{name}` to Generate(...).");
    }

    /// <summary>
    /// True if an option is set that has an effect only on sampling. Such an option asks for sampling unless do_sample is set.
    /// </summary>
    public static bool HasSamplingOption(Generation options) => FirstSamplingOption(options) is not null;

    private static string? FirstSamplingOption(Generation options) =>
        GenerationOptionTable.Rows.FirstOrDefault(option => option.IsSamplingOnly && option.IsSet(options))?.Name;
}
