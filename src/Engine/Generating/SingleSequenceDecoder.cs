using System.Runtime.InteropServices;
using Ndif.Engine.Generating.Logits;

namespace Ndif.Engine.Generating;

/// <summary>Continues a row token by token, with the most likely token or one that is drawn.</summary>
/// <param name="prompt">The tokens of the row, without padding.</param>
/// <param name="encoderTokens">The tokens of the row's encoder, without padding; null if the model has none.</param>
/// <param name="stopCriteria">Null if no text ends the row.</param>
internal sealed class SingleSequenceDecoder(
    ResolvedGenerationOptions options, long[] prompt, long[]? encoderTokens, RowRandomGenerator random, StopStringCriteria? stopCriteria)
    : ISequenceDecoder
{
    private static readonly int[] _sourceRows = [0];

    private readonly ILogitsProcessor[] _logitsProcessors = LogitsProcessorList.Create(options, encoderTokens);
    private readonly List<long> _tokens = [.. prompt];
    private readonly List<long> _newTokens = [];

    public int RowCount => 1;

    public bool NeedsScores => options.DoSample || _logitsProcessors.Length > 0;

    public bool HasEnded { get; private set; } = options.MaxNewTokens == 0;

    public long[] NextTokens { get; } = [options.PadTokenId];

    public IReadOnlyList<int> SourceRows => _sourceRows;

    public IReadOnlyList<IReadOnlyList<long>> Sequences => [_newTokens];

    public void SelectTokens(Span<float> scores, int vocabSize, Action? betweenParts = null)
    {
        foreach (ILogitsProcessor processor in _logitsProcessors)
            processor.Apply(CollectionsMarshal.AsSpan(_tokens), prompt.Length, scores);
        NextTokens[0] = options.DoSample ? TokenSampler.Sample(scores, random.UniformAt(_newTokens.Count)) : TokenSampler.ArgMax(scores);
    }

    public void CommitTokens()
    {
        if (HasEnded)
        {
            NextTokens[0] = options.PadTokenId;
            return;
        }
        _tokens.Add(NextTokens[0]);
        _newTokens.Add(NextTokens[0]);
        bool stopped = stopCriteria is not null && stopCriteria.Add(NextTokens[0]);
        HasEnded = stopped || options.IsEnd(NextTokens[0]) || _newTokens.Count >= options.MaxNewTokens;
    }
}
