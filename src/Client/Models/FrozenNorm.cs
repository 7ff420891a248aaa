using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// A norm as the linear function that it is at one input: its scale is that of the input, so that it can be applied to each of the parts
/// that the input is the sum of. The results for the parts and the bias add up to the output for the input.
/// </summary>
/// <remarks>apply_ln_to_stack in TransformerLens</remarks>
internal sealed class FrozenNorm
{
    private readonly NormLayout _layout;
    private readonly Value _scale;
    private readonly Value? _weight;

    /// <param name="norm">The norm.</param>
    /// <param name="input">[batch, hidden]</param>
    public FrozenNorm(Envoy norm, Value input)
    {
        _layout = norm.Norm!;
        Value centered = Center(input.To(DType.Float32));                                       // [batch, hidden]
        _scale = (centered.Square().Mean(-1, true) + _layout.Epsilon).Rsqrt();                   // [batch, 1]
        _weight = Read(norm, "weight");                                                         // [hidden]
        if (_weight is not null && _layout.UnitOffset) _weight += 1;
        Bias = Read(norm, "bias");
    }

    /// <summary>What the norm adds at the end, [hidden]; null for nothing.</summary>
    public Value? Bias { get; }

    /// <summary>The part of the output that a part of the input makes.</summary>
    /// <param name="parts">[batch, parts, hidden]</param>
    /// <returns>[batch, parts, hidden]</returns>
    public Value Apply(Value parts)
    {
        Value scaled = Center(parts.To(DType.Float32)) * _scale.Unsqueeze(1);                   // [batch, parts, hidden]
        return _weight is null ? scaled : scaled * _weight;
    }

    private Value Center(Value x) => _layout.SubtractsMean ? x - x.Mean(-1, true) : x;

    private static Value? Read(Envoy norm, string parameter) =>
        norm.HasParameter(parameter) ? norm.Parameter(parameter).To(DType.Float32) : null;
}
