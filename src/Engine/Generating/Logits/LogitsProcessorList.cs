using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>Chooses the logits processors of a generation, in Hugging Face's order.</summary>
/// <remarks>_get_logits_processor in transformers/generation/utils.py</remarks>
internal static class LogitsProcessorList
{
    public static ILogitsProcessor[] Create(ResolvedGenerationOptions options)
    {
        Generation values = options.Values;
        int minTokensToKeep = options.MinTokensToKeep;
        List<ILogitsProcessor> processors = [];
        if (values.RepetitionPenalty != 1) processors.Add(new RepetitionPenaltyLogitsProcessor(values.RepetitionPenalty));
        if (values.NoRepeatNgram > 0) processors.Add(new NoRepeatNgramLogitsProcessor((int)values.NoRepeatNgram));
        if (values.MinNewTokens > 0 && options.EosTokenIds.Count > 0)
            processors.Add(new MinNewTokensLogitsProcessor((int)values.MinNewTokens, options.EosTokenIds));
        if (!options.DoSample) return [.. processors];
        if (values.Temperature != 1) processors.Add(new TemperatureLogitsProcessor(values.Temperature));
        if (values.TopK > 0) processors.Add(new TopKLogitsProcessor(Math.Max((int)values.TopK, minTokensToKeep)));
        if (values.TopP < 1) processors.Add(new TopPLogitsProcessor(values.TopP, minTokensToKeep));
        if (values.MinP > 0) processors.Add(new MinPLogitsProcessor(values.MinP, minTokensToKeep));
        if (values.TypicalP < 1) processors.Add(new TypicalLogitsProcessor(values.TypicalP, minTokensToKeep));
        return [.. processors];
    }
}
