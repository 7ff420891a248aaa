using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>A convolution of each channel over the tokens, with zeros on both sides.</summary>
/// <remarks>torch/nn/modules/conv.py with groups = channels and padding = kernel size - 1</remarks>
public sealed partial class DepthwiseConv1d : TensorModule
{
    private readonly int _channels, _kernelSize;

    public DepthwiseConv1d(int channels, int kernelSize, bool bias = true)
    {
        (_channels, _kernelSize) = (channels, kernelSize);
        Kernel = Weight("weight", channels, 1, kernelSize);
        Bias = bias ? Weight("bias", channels) : null;
    }

    public override string ClassName => "Conv1d";

    /// <summary>[channels, 1, kernelSize]</summary>
    internal Parameter Kernel { get; }

    /// <summary>[channels]; null if there is none.</summary>
    internal Parameter? Bias { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"{_channels}, {_channels}, kernel_size=({_kernelSize},), stride=(1,), padding=({_kernelSize - 1},), groups={_channels}{BiasRepr}");

    private string BiasRepr => Bias is null ? ", bias=False" : "";

    /// <summary>The output has more tokens than the pass, so that it cannot be divided among the rows of a batch.</summary>
    public override Axes OutputAxes(int element) => Axes.Unknown;

    public override Axes InputAxes(string argument) => new(0, 2);

    /// <param name="input">[batch, channels, seq]</param>
    /// <returns>[batch, channels, seq + kernelSize - 1], of which the first seq depend on no later token.</returns>
    /// <remarks>libtorch has no meta kernel for it.</remarks>
    protected override Tensor Forward(Tensor input) => input.device_type == TorchSharp.DeviceType.META
        ? empty([input.size(0), _channels, input.size(2) + _kernelSize - 1], input.dtype, input.device)
        : nn.functional.conv1d(input, Kernel.Value, Bias?.Value, padding: _kernelSize - 1, groups: _channels);
}
