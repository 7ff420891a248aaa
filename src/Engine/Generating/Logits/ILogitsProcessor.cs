namespace Ndif.Engine.Generating.Logits;

/// <summary>One step from a model's scores of the next token to those that the choice is made by. Keeps no state of a row.</summary>
/// <remarks>LogitsProcessor in transformers/generation/logits_process.py, whose names are in the rules' own remarks</remarks>
internal interface ILogitsProcessor
{
    /// <param name="tokens">The row's tokens so far, without padding: its prompt and what was generated.</param>
    /// <param name="promptLength">How many of them are the prompt's.</param>
    /// <param name="scores">[vocab]; minus infinity for a token that cannot be chosen.</param>
    void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores);
}

/// <summary>Which rules a generation has, in Hugging Face's order.</summary>
/// <remarks>_get_logits_processor in transformers/generation/utils.py</remarks>
internal static class LogitsProcessorList
{
    public static ILogitsProcessor[] Create(GenerationOptions options)
    {
        List<ILogitsProcessor> rules = [];
        if (options.RepetitionPenalty != 1) rules.Add(new RepetitionPenaltyLogitsProcessor(options.RepetitionPenalty));
        if (options.NoRepeatNgramSize > 0) rules.Add(new NoRepeatNgramLogitsProcessor(options.NoRepeatNgramSize));
        if (options.MinNewTokens > 0 && options.EosTokenIds.Count > 0) rules.Add(new MinNewTokensLogitsProcessor(options.MinNewTokens, options.EosTokenIds));
        if (!options.DoSample) return [.. rules];
        if (options.Temperature != 1) rules.Add(new TemperatureLogitsProcessor(options.Temperature));
        if (options.TopK > 0) rules.Add(new TopKLogitsProcessor(Math.Max(options.TopK, options.MinTokensToKeep)));
        if (options.TopP < 1) rules.Add(new TopPLogitsProcessor(options.TopP, options.MinTokensToKeep));
        if (options.MinP > 0) rules.Add(new MinPLogitsProcessor(options.MinP, options.MinTokensToKeep));
        if (options.TypicalP < 1) rules.Add(new TypicalLogitsProcessor(options.TypicalP, options.MinTokensToKeep));
        return [.. rules];
    }
}
