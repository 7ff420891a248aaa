using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Returns its input.</summary>
/// <remarks>torch/nn/modules/linear.py, Identity</remarks>
public sealed partial class Identity : TensorModule
{
    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input) => input.alias();
}
