namespace Ndif.Engine.Generating.Scores;

/// <summary>One step from a model's scores of the next token to those that the choice is made by. Keeps no state of a row.</summary>
/// <remarks>LogitsProcessor in transformers/generation/logits_process.py, whose names are in the rules' own remarks</remarks>
internal interface IScoreRule
{
    /// <param name="tokens">The row's tokens so far, without padding: its prompt and what was generated.</param>
    /// <param name="prompt">How many of them are the prompt's.</param>
    /// <param name="scores">[vocabulary]; minus infinity for a token that cannot be chosen.</param>
    void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores);
}

/// <summary>Which rules a generation has, in Hugging Face's order.</summary>
/// <remarks>_get_logits_processor in transformers/generation/utils.py</remarks>
internal static class ScoreRules
{
    public static IScoreRule[] Of(GenerationOptions options)
    {
        List<IScoreRule> rules = [];
        if (options.RepetitionPenalty != 1) rules.Add(new RepetitionPenalty(options.RepetitionPenalty));
        if (options.NoRepeatNgram > 0) rules.Add(new NoRepeatNgram(options.NoRepeatNgram));
        if (options.MinNewTokens > 0 && options.Eos.Count > 0) rules.Add(new MinNewTokens(options.MinNewTokens, options.Eos));
        if (!options.Sample) return [.. rules];
        if (options.Temperature != 1) rules.Add(new Temperature(options.Temperature));
        if (options.TopK > 0) rules.Add(new TopK(Math.Max(options.TopK, options.LeastKept)));
        if (options.TopP < 1) rules.Add(new TopP(options.TopP, options.LeastKept));
        if (options.MinP > 0) rules.Add(new MinP(options.MinP, options.LeastKept));
        if (options.TypicalP < 1) rules.Add(new TypicalP(options.TypicalP, options.LeastKept));
        return [.. rules];
    }
}
