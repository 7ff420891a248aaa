using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>Chooses the logits processors of a generation, in Hugging Face's order.</summary>
/// <remarks>_get_logits_processor in transformers/generation/utils.py</remarks>
internal static class LogitsProcessorList
{
    /// <param name="encoderTokens">The tokens of the row's encoder; null if the model has none, whose prompt takes their place.</param>
    public static ILogitsProcessor[] Create(ResolvedGenerationOptions options, long[]? encoderTokens)
    {
        List<ILogitsProcessor> processors = [.. CreateProcessors(options, encoderTokens)];
        if (options.DoSample) processors.AddRange(CreateSamplingProcessors(options));
        if (options.Values.RenormalizeLogits) processors.Add(new LogitNormalizationLogitsProcessor());
        return [.. processors];
    }

    private static IEnumerable<ILogitsProcessor> CreateProcessors(ResolvedGenerationOptions options, long[]? encoderTokens)
    {
        Generation values = options.Values;
        IReadOnlyList<long> eos = options.EosTokenIds;
        if (options.SequenceBias is { } sequenceBias) yield return sequenceBias;
        if (values.EncoderRepetitionPenalty != 1)
            yield return new EncoderRepetitionPenaltyLogitsProcessor(values.EncoderRepetitionPenalty, encoderTokens);
        if (values.RepetitionPenalty != 1) yield return new RepetitionPenaltyLogitsProcessor(values.RepetitionPenalty);
        if (values.NoRepeatNgram > 0) yield return new NoRepeatNgramLogitsProcessor((int)values.NoRepeatNgram);
        if (values.EncoderNoRepeatNgram > 0)
            yield return new NoRepeatNgramLogitsProcessor((int)values.EncoderNoRepeatNgram, ofPrompt: true, encoderTokens);
        if (options.BadWords is { } badWords) yield return badWords;
        if (values.MinLength > 0 && eos.Count > 0) yield return new MinLengthLogitsProcessor((int)values.MinLength, eos);
        if (values.MinNewTokens > 0 && eos.Count > 0) yield return new MinNewTokensLogitsProcessor((int)values.MinNewTokens, eos);
        if (values.HasForcedBos) yield return new ForcedTokenLogitsProcessor([values.ForcedBos], _ => 1);
        if (values.ForcedEos is { Ids: { Count: > 0 } last })
            yield return new ForcedTokenLogitsProcessor(last, prompt => prompt + options.MaxNewTokens - 1);
        if (values.RemoveInvalidValues) yield return new InfNanRemoveLogitsProcessor();
        if (values.ExponentialDecay is { } decay && eos.Count > 0)
            yield return new ExponentialDecayLengthPenaltyLogitsProcessor((int)decay.Start, decay.Factor, eos);
        if (values.SuppressTokens is { Ids: { Count: > 0 } suppressed }) yield return new SuppressTokensLogitsProcessor(suppressed);
        if (values.BeginSuppressTokens is { Ids: { Count: > 0 } begin })
            // a forced first token comes before the first token that is chosen
            yield return new SuppressTokensLogitsProcessor(begin, prompt => prompt > 1 || !values.HasForcedBos ? prompt : prompt + 1);
    }

    private static IEnumerable<ILogitsProcessor> CreateSamplingProcessors(ResolvedGenerationOptions options)
    {
        Generation values = options.Values;
        int minTokensToKeep = options.MinTokensToKeep;
        if (values.Temperature != 1) yield return new TemperatureLogitsProcessor(values.Temperature);
        if (values.HasTopH) yield return new TopHLogitsProcessor(values.TopH);
        if (values.TopK > 0) yield return new TopKLogitsProcessor(Math.Max((int)values.TopK, minTokensToKeep));
        if (values.TopP < 1) yield return new TopPLogitsProcessor(values.TopP, minTokensToKeep);
        if (values.MinP > 0) yield return new MinPLogitsProcessor(values.MinP, minTokensToKeep);
        if (values.TypicalP < 1) yield return new TypicalLogitsProcessor(values.TypicalP, minTokensToKeep);
        if (values.EpsilonCutoff > 0) yield return new ProbabilityCutoffLogitsProcessor(values.EpsilonCutoff, false, minTokensToKeep);
        if (values.EtaCutoff > 0) yield return new ProbabilityCutoffLogitsProcessor(values.EtaCutoff, true, minTokensToKeep);
    }
}
