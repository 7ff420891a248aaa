using System.Numerics.Tensors;

namespace Ndif.Engine.Generating.Logits;

/// <summary>Below 1 the likely tokens become likelier, above 1 all become more alike.</summary>
/// <remarks>TemperatureLogitsWarper</remarks>
internal sealed class TemperatureLogitsProcessor(double temperature) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores) => TensorPrimitives.Divide(scores, (float)temperature, scores);
}
