using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions with one set of frequencies for each type of layer.</summary>
/// <remarks>Gemma3RotaryEmbedding in transformers/models/gemma3/modeling_gemma3.py and its relatives</remarks>
[SharedLayer]
public sealed partial class RotaryEmbeddingByLayerType : SiteModule
{
    private readonly RotaryEmbedding _local, _global; // not children: they only compute
    private readonly Axes _hiddenAxes;

    /// <param name="className">The class name in Hugging Face's code of the model: "Gemma3RotaryEmbedding".</param>
    /// <param name="local">The frequencies of the layers with a window.</param>
    /// <param name="global">The frequencies of the others.</param>
    /// <param name="hiddenAxes">The axes of the first argument, if it is not [batch, seq, ...].</param>
    internal RotaryEmbeddingByLayerType(string className, RotaryFrequencies local, RotaryFrequencies global, Axes? hiddenAxes = null)
    {
        (ClassName, _hiddenAxes) = (className, hiddenAxes ?? Axes.Hidden);
        (_local, _global) = (new RotaryEmbedding(className, local), new RotaryEmbedding(className, global));
    }

    public override string ClassName { get; }

    /// <summary>The length up to which a row's frequencies are the same; null if they are so at any length.</summary>
    internal long? LengthThreshold => _global.LengthThreshold ?? _local.LengthThreshold;

    public override Axes InputAxes(string argument) => argument is "0" or "x" ? _hiddenAxes : Axes.Hidden;

    /// <param name="hidden">A tensor with the dtype and the device of the result.</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <param name="layerType">"sliding_attention" or "full_attention"</param>
    /// <returns>Cosines and sines, each [batch, seq, headDim].</returns>
    public object?[] Call(Tensor hidden, Tensor positionIds, string layerType) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments(hidden, positionIds, layerType))
        : Forward(hidden, positionIds, layerType);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "x"), arguments.Tensor(1, "position_ids"), arguments.Get(2, "layer_type") as string);

    private object?[] Forward(Tensor hidden, Tensor positionIds, string? layerType) =>
        (object?[])(layerType == "sliding_attention" ? _local : _global).Run(new Arguments(hidden, positionIds))!;
}
