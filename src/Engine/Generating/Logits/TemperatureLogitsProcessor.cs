using System.Numerics.Tensors;

namespace Ndif.Engine.Generating.Logits;

/// <summary>Divides the scores. A temperature below 1 makes likely tokens more likely, one above 1 less.</summary>
/// <remarks>TemperatureLogitsWarper</remarks>
internal sealed class TemperatureLogitsProcessor(double temperature) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores) =>
        TensorPrimitives.Divide(scores, (float)temperature, scores);
}
