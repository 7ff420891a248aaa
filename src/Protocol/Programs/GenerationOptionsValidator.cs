using System.Globalization;

namespace Ndif.Protocol.Programs;

/// <summary>Checks the options of a generation. The client does it while recording, the gateway and the engine before a run.</summary>
/// <remarks>
/// GenerationConfig.validate in transformers/generation/configuration_utils.py, and the constructors in logits_process.py
/// </remarks>
public static class GenerationOptionsValidator
{
    public const int MaxBeams = 64, MaxReturnSequences = 256, MaxStopStrings = 64, MaxStopStringLength = 256;

    /// <exception cref="NdifException">BAD_ARGUMENT: names the option, its value and the allowed values.</exception>
    public static void Validate(Generation options)
    {
        ValidateLengths(options);
        ValidateSampling(options);
        ValidateBeams(options);
        ValidateStops(options);
        if (options is { HasSample: true, Sample: false } && FirstSamplingOption(options) is { } option)
        {
            throw BadArgument(
                $"The generation's option `{option}` has no effect with sample: false.", $"Drop `{option}`, or pass sample: true.");
        }
        if (options is { HasStream: true, Stream: true, HasBeams: true, Beams: > 1 })
        {
            throw BadArgument(
                "A beam search has no tokens to stream: which beam is the result is known only at its end.",
                "Stream with one beam, or read t.Result.");
        }
    }

    /// <summary>Checks the options of one invoke. Those that change the number of rows are the whole trace's.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public static void ValidateForInvoke(Generation options)
    {
        Validate(options);
        string? option = options.HasBeams ? "beams"
            : options.HasReturnSequences ? "return_sequences"
            : options.HasLengthPenalty ? "length_penalty"
            : options.HasEarlyStopping ? "early_stopping"
            : options.HasStream ? "stream" : null;
        if (option is not null)
        {
            throw BadArgument(
                $"The generation's option `{option}` is the whole trace's, not one invoke's.", $"Pass `{option}` to Generate(...).");
        }
    }

    /// <summary>True if an option is set that only sampling has. It turns sampling on unless `sample` is set.</summary>
    public static bool HasSamplingOption(Generation options) => FirstSamplingOption(options) is not null;

    private static void ValidateLengths(Generation options)
    {
        if (options.HasMaxNewTokens && options.MaxNewTokens > int.MaxValue / 2)
            throw BadOption("max_new_tokens", options.MaxNewTokens, $"at most {int.MaxValue / 2}");
        if (options.HasMinNewTokens && options.HasMaxNewTokens && options.MinNewTokens > options.MaxNewTokens)
            throw BadOption("min_new_tokens", options.MinNewTokens, $"at most max_new_tokens, {options.MaxNewTokens}");
    }

    private static void ValidateSampling(Generation options)
    {
        if (options.HasTemperature && !IsPositive(options.Temperature))
        {
            throw BadOption(
                "temperature", options.Temperature, "above 0",
                "For always the most likely token, generate without sampling: sample: false.");
        }
        if (options.HasTopK && options.TopK > int.MaxValue) throw BadOption("top_k", options.TopK, "a number of tokens, or 0 for all");
        if (options.HasTopP && options.TopP is not (> 0 and <= 1)) throw BadOption("top_p", options.TopP, "above 0 and at most 1");
        if (options.HasMinP && options.MinP is not (>= 0 and <= 1)) throw BadOption("min_p", options.MinP, "between 0 and 1");
        if (options.HasTypicalP && options.TypicalP is not (> 0 and <= 1))
            throw BadOption("typical_p", options.TypicalP, "above 0 and at most 1");
        if (options.HasRepetitionPenalty && !IsPositive(options.RepetitionPenalty))
            throw BadOption("repetition_penalty", options.RepetitionPenalty, "above 0; 1 is none");
        if (options.HasNoRepeatNgram && options.NoRepeatNgram > int.MaxValue)
            throw BadOption("no_repeat_ngram", options.NoRepeatNgram, "a length, or 0 for none");
    }

    private static void ValidateBeams(Generation options)
    {
        if (options.HasBeams && options.Beams is < 1 or > MaxBeams) throw BadOption("beams", options.Beams, $"1 to {MaxBeams}");
        if (options.HasReturnSequences && options.ReturnSequences is < 1 or > MaxReturnSequences)
            throw BadOption("return_sequences", options.ReturnSequences, $"1 to {MaxReturnSequences}");
        if (options is { HasBeams: true, Beams: > 1, HasReturnSequences: true } && options.ReturnSequences > options.Beams)
            throw BadOption("return_sequences", options.ReturnSequences, $"at most the number of beams, {options.Beams}");
        if (options.HasLengthPenalty && !double.IsFinite(options.LengthPenalty))
            throw BadOption("length_penalty", options.LengthPenalty, "a finite number");
        if (options.HasEarlyStopping && !Enum.IsDefined(options.EarlyStopping))
            throw BadOption("early_stopping", (int)options.EarlyStopping, "a known one");
    }

    private static void ValidateStops(Generation options)
    {
        if (options.Stop.Count > MaxStopStrings) throw BadOption("stop", options.Stop.Count, $"at most {MaxStopStrings} texts");
        if (options.Stop.FirstOrDefault(s => s.Length is 0 or > MaxStopStringLength) is { } stop)
            throw BadOption("stop", $"a text of {stop.Length} characters", $"of 1 to {MaxStopStringLength} characters");
        foreach (long id in options.Eos)
            if (id < 0) throw BadOption("eos", id, "a token id");
    }

    private static string? FirstSamplingOption(Generation options) =>
        options.HasTemperature ? "temperature"
        : options.HasTopK ? "top_k"
        : options.HasTopP ? "top_p"
        : options.HasMinP ? "min_p"
        : options.HasTypicalP ? "typical_p" : null;

    private static bool IsPositive(double number) => number > 0 && double.IsFinite(number);

    private static Exception BadOption(string option, object value, string allowed, string hint = "") => BadArgument(
        string.Create(CultureInfo.InvariantCulture, $"The generation's option `{option}` is {value}; it must be {allowed}."), hint);

    private static Exception BadArgument(string message, string hint) => Errors.CreateException(ErrorCode.BadArgument, message, hint);
}
