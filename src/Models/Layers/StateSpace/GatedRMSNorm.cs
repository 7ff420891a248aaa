using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>An RMS norm whose input or output is multiplied by silu(gate).</summary>
/// <remarks>
/// MambaRMSNormGated in transformers/models/mamba2/modeling_mamba2.py; Zamba2RMSNormGated, which normalizes groups of dimensions;
/// Qwen3NextRMSNormGated, which multiplies after the norm
/// </remarks>
[SharedLayer]
public sealed partial class GatedRMSNorm : SiteModule
{
    private readonly int _groups;
    private readonly double _epsilon;
    private readonly bool _normsBeforeGate;
    private readonly Parameter _weight; // [hidden]
    private readonly Axes _axes;

    /// <param name="groups">The groups of dimensions that are normalized separately.</param>
    /// <param name="normsBeforeGate">Whether the gate multiplies the output of the norm.</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    public GatedRMSNorm(string className, int size, double epsilon, int groups = 1, bool normsBeforeGate = false, Axes? axes = null)
    {
        (ClassName, _epsilon, _groups, _normsBeforeGate, _axes) = (className, epsilon, groups, normsBeforeGate, axes ?? Axes.Hidden);
        _weight = Weight("weight", size);
    }

    public override string ClassName { get; }

    public override bool ReturnsTensor => true;

    public override Axes OutputAxes(int element) => _axes;

    public override Axes InputAxes(string argument) => _axes;

    /// <param name="hidden">[..., hidden]</param>
    /// <param name="gate">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor gate) =>
        Hook is { } observer ? CallHooked<Tensor>(observer, new Arguments(hidden, gate)) : Forward(hidden, gate);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "gate"));

    private Tensor Forward(Tensor hidden, Tensor gate)
    {
        using var scope = NewDisposeScope();
        Tensor factor = nn.functional.silu(gate.to(ScalarType.Float32));                        // [..., hidden]
        Tensor input = hidden.to(ScalarType.Float32);                                           // [..., hidden]
        if (!_normsBeforeGate) input = input * factor;                                          // [..., hidden]
        Tensor grouped = input.view([.. input.shape[..^1], _groups, -1]);                       // [..., groups, hidden / groups]
        Tensor variance = grouped.square().mean([-1], keepdim: true);                           // [..., groups, 1]
        Tensor normal = (grouped * rsqrt(variance + _epsilon)).view(input.shape);               // [..., hidden]
        Tensor output = _weight.Value * normal.to(_weight.Value.dtype);                         // [..., hidden]
        if (_normsBeforeGate) output = output * factor;                                         // [..., hidden]
        return output.to(hidden.dtype).MoveToOuterDisposeScope();
    }
}
