using Ndif.Models.Files.Hub;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>Options of loading the weights of a model.</summary>
internal sealed record LoadOptions
{
    /// <summary>The element type of the weights. Default (null): the checkpoint's own, which needs no copy on the CPU.</summary>
    public ScalarType? DType { get; init; }

    /// <summary>The device of the weights. Default (null): the CPU.</summary>
    public Device? Device { get; init; }

    /// <summary>Several devices for a model that is too large for one; <see cref="Device"/> is then ignored. Default: null.</summary>
    public DeviceMap? DeviceMap { get; init; }

    /// <summary>
    /// A LoRA adapter in the format of PEFT that is merged into the weights: a folder or an id on the hub. Default: null, none.
    /// </summary>
    public string? Adapter { get; init; }

    /// <summary>
    /// Quantize the weights of linear layers to eight bits (<see cref="EightBitWeight"/>): about a quarter of the memory of float32,
    /// and slightly less accurate. The output projection, embeddings and norms are not quantized. Default: false.
    /// </summary>
    public bool EightBit { get; init; }

    /// <summary>The options of downloads. Default (null): read from the environment.</summary>
    public HubOptions? Hub { get; init; }
}
