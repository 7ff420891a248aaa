using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>An activation under the class name that Hugging Face prints for it.</summary>
/// <remarks>ACT2CLS in transformers/activations.py</remarks>
public sealed partial class Activation : TensorModule
{
    private readonly Func<Tensor, Tensor> _function;

    private Activation(string className, Func<Tensor, Tensor> function, string repr = "", ActivationKind? kind = null) =>
        (ClassName, _function, ExtraRepr, Kind) = (className, function, repr, kind);

    public override string ClassName { get; }

    public override string ExtraRepr { get; }

    /// <summary>The kind for the fused mlp; null if the fused mlp does not have it.</summary>
    internal ActivationKind? Kind { get; }

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input) => _function(input);

    /// <summary>The function alone, without the hooks of the module.</summary>
    /// <param name="x">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    internal Tensor Apply(Tensor x) => _function(x);

    /// <summary>x · sigmoid(x)</summary>
    public static Activation Silu() => new("SiLUActivation", x => nn.functional.silu(x), kind: Ndif.Models.CpuKernels.ActivationKind.Silu);

    /// <summary>PyTorch's own module for x · Φ(x).</summary>
    public static Activation Gelu() =>
        new("GELU", x => nn.functional.gelu(x), "approximate='none'", Ndif.Models.CpuKernels.ActivationKind.Gelu);

    /// <summary>PyTorch's own module for tanh.</summary>
    public static Activation Tanh() => new("Tanh", x => x.tanh());

    /// <summary>The activation that a config.json names under a key.</summary>
    public static Activation Read(ConfigReader config, string key, string defaultName) => Of(config.Text(key, defaultName))
        ?? throw config.InvalidValue(key, "must be an activation that is known here (gelu, gelu_10, gelu_new, gelu_fast, "
            + "gelu_pytorch_tanh, quick_gelu, silu, relu, relu2, relu6, leaky_relu, hardswish, sigmoid, tanh, mish, linear)",
            $"`{config.Text(key, defaultName)}`");

    /// <summary>The activation of a name in Hugging Face's table; null if there is none here.</summary>
    public static Activation? Of(string name) => name switch
    {
        "gelu" or "gelu_python" => new("GELUActivation", x => nn.functional.gelu(x), kind: Ndif.Models.CpuKernels.ActivationKind.Gelu),
        "gelu_new" => new("NewGELUActivation", GeluTanh, kind: Ndif.Models.CpuKernels.ActivationKind.GeluTanh),
        "gelu_fast" => new("FastGELUActivation", GeluTanh, kind: Ndif.Models.CpuKernels.ActivationKind.GeluTanh),
        "gelu_10" => new("ClippedGELUActivation", x => nn.functional.gelu(x).clamp(-10, 10)),
        "gelu_accurate" => new("AccurateGELUActivation", GeluTanh, kind: Ndif.Models.CpuKernels.ActivationKind.GeluTanh),
        "gelu_pytorch_tanh" or "gelu_python_tanh" => new("GELUTanh", GeluTanh, kind: Ndif.Models.CpuKernels.ActivationKind.GeluTanh),
        "quick_gelu" => new("QuickGELUActivation", x => x * sigmoid(x * 1.702)),
        "silu" => Silu(),
        "swish" => new("SiLU", x => nn.functional.silu(x), kind: Ndif.Models.CpuKernels.ActivationKind.Silu),
        "relu" => new("ReLU", Relu, kind: Ndif.Models.CpuKernels.ActivationKind.Relu),
        "relu2" => new("ReLUSquaredActivation", x => Relu(x).square()),
        "relu6" => new("ReLU6", x => x.clamp(0, 6)),
        "sigmoid" => new("Sigmoid", x => x.sigmoid()),
        "tanh" => Tanh(),
        "leaky_relu" => new("LeakyReLU", x => nn.functional.leaky_relu(x, 0.01), "negative_slope=0.01"),
        "hardswish" => new("Hardswish", x => x * (x + 3).clamp(0, 6) / 6),
        "mish" => new("MishActivation", x => nn.functional.mish(x)),
        "linear" => new("LinearActivation", x => x),
        _ => null,
    };

    /// <summary>The same as relu, which libtorch does not support on the meta device. The gradient at 0 is also 0.</summary>
    internal static Tensor Relu(Tensor x) => nn.functional.threshold(x, 0, 0);

    /// <summary>0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), which the named variants write out and libtorch has in one kernel.</summary>
    private static Tensor GeluTanh(Tensor x) => nn.functional.gelu(x, TorchSharp.Modules.GELU.Approximate.tanh);
}
