using System.Numerics.Tensors;

namespace Ndif.Engine.Generating.Scores;

/// <summary>Below 1 the likely tokens become likelier, above 1 all become more alike.</summary>
/// <remarks>TemperatureLogitsWarper</remarks>
internal sealed class Temperature(double temperature) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores) => TensorPrimitives.Divide(scores, (float)temperature, scores);
}
