namespace Ndif.Protocol;

/// <summary>What a generation's options may be. The client checks while recording, the gateway and the engine before a run.</summary>
/// <remarks>GenerationConfig.validate in transformers/generation/configuration_utils.py, and the constructors in logits_process.py</remarks>
public static class GenerationRules
{
    public const int MostBeams = 64, MostSequences = 256, MostStops = 64, LongestStop = 256;

    /// <exception cref="NdifException">BAD_ARGUMENT: names the option, its value and what it may be.</exception>
    public static void Check(Generation g)
    {
        if (g.HasMaxNewTokens && g.MaxNewTokens > int.MaxValue / 2) throw Bad("max_new_tokens", g.MaxNewTokens, $"at most {int.MaxValue / 2}");
        if (g.HasMinNewTokens && g.HasMaxNewTokens && g.MinNewTokens > g.MaxNewTokens) throw Bad("min_new_tokens", g.MinNewTokens, $"at most max_new_tokens, {g.MaxNewTokens}");
        if (g.HasTemperature && !(g.Temperature > 0 && double.IsFinite(g.Temperature)))
            throw Bad("temperature", g.Temperature, "above 0", "For always the most likely token, generate without sampling: sample: false.");
        if (g.HasTopK && g.TopK > int.MaxValue) throw Bad("top_k", g.TopK, "a number of tokens, or 0 for all");
        if (g.HasTopP && g.TopP is not (> 0 and <= 1)) throw Bad("top_p", g.TopP, "above 0 and at most 1");
        if (g.HasMinP && g.MinP is not (>= 0 and <= 1)) throw Bad("min_p", g.MinP, "between 0 and 1");
        if (g.HasTypicalP && g.TypicalP is not (> 0 and <= 1)) throw Bad("typical_p", g.TypicalP, "above 0 and at most 1");
        if (g.HasRepetitionPenalty && !(g.RepetitionPenalty > 0 && double.IsFinite(g.RepetitionPenalty))) throw Bad("repetition_penalty", g.RepetitionPenalty, "above 0; 1 is none");
        if (g.HasNoRepeatNgram && g.NoRepeatNgram > int.MaxValue) throw Bad("no_repeat_ngram", g.NoRepeatNgram, "a length, or 0 for none");
        if (g.HasBeams && g.Beams is < 1 or > MostBeams) throw Bad("beams", g.Beams, $"1 to {MostBeams}");
        if (g.HasReturnSequences && g.ReturnSequences is < 1 or > MostSequences) throw Bad("return_sequences", g.ReturnSequences, $"1 to {MostSequences}");
        if (g is { HasBeams: true, Beams: > 1, HasReturnSequences: true } && g.ReturnSequences > g.Beams)
            throw Bad("return_sequences", g.ReturnSequences, $"at most the number of beams, {g.Beams}");
        if (g.HasLengthPenalty && !double.IsFinite(g.LengthPenalty)) throw Bad("length_penalty", g.LengthPenalty, "a finite number");
        if (g.HasEarlyStopping && !Enum.IsDefined(g.EarlyStopping)) throw Bad("early_stopping", (int)g.EarlyStopping, "a known one");
        if (g.Stop.Count > MostStops) throw Bad("stop", g.Stop.Count, $"at most {MostStops} texts");
        if (g.Stop.FirstOrDefault(s => s.Length is 0 or > LongestStop) is { } stop)
            throw Bad("stop", $"a text of {stop.Length} characters", $"of 1 to {LongestStop} characters");
        foreach (long id in g.Eos)
            if (id < 0) throw Bad("eos", id, "a token id");
        if (g is { HasSample: true, Sample: false } && SamplingOption(g) is { } option)
            throw Errors.Throwable(ErrorCode.BadArgument, $"The generation's option `{option}` has no effect with sample: false.", $"Drop `{option}`, or pass sample: true.");
        if (g is { HasStream: true, Stream: true, HasBeams: true, Beams: > 1 })
            throw Errors.Throwable(ErrorCode.BadArgument, "A beam search has no tokens to stream: which beam is the result is known only at its end.", "Stream with one beam, or read t.Result.");
    }

    /// <summary>The same for an invoke's own options: those that change how many rows a trace has are the trace's.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public static void CheckOfInvoke(Generation g)
    {
        Check(g);
        string? option = g.HasBeams ? "beams" : g.HasReturnSequences ? "return_sequences" : g.HasLengthPenalty ? "length_penalty" : g.HasEarlyStopping ? "early_stopping" : g.HasStream ? "stream" : null;
        if (option is not null)
            throw Errors.Throwable(ErrorCode.BadArgument, $"The generation's option `{option}` is the whole trace's, not one invoke's.", $"Pass `{option}` to Generate(...).");
    }

    /// <summary>True if an option is given that only sampling has, which asks for sampling unless it says otherwise.</summary>
    public static bool AsksForSampling(Generation g) => SamplingOption(g) is not null;

    private static string? SamplingOption(Generation g) =>
        g.HasTemperature ? "temperature" : g.HasTopK ? "top_k" : g.HasTopP ? "top_p" : g.HasMinP ? "min_p" : g.HasTypicalP ? "typical_p" : null;

    private static Exception Bad(string option, object value, string allowed, string hint = "") => Errors.Throwable(ErrorCode.BadArgument,
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"The generation's option `{option}` is {value}; it must be {allowed}."), hint);
}
