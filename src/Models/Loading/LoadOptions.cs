using Ndif.Models.Files.Hub;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>How a model's weights are put into memory.</summary>
public sealed record LoadOptions
{
    /// <summary>The element type; null keeps the checkpoint's own, and then nothing is copied on the CPU.</summary>
    public ScalarType? DType { get; init; }

    /// <summary>Null is the CPU.</summary>
    public Device? Device { get; init; }

    /// <summary>Several devices for a model that is too large for one; then <see cref="Device"/> is not looked at.</summary>
    public DeviceMap? DeviceMap { get; init; }

    /// <summary>A LoRA adapter in PEFT's format that is merged into the weights: a folder or an id on the hub. Null is none.</summary>
    public string? Adapter { get; init; }

    /// <summary>
    /// Keep the weights of linear layers in eight bits with a scale for each output (<see cref="EightBitWeight"/>): about a quarter of
    /// float32's memory, slower, and a little off. The output projection, embeddings and norms stay as they are.
    /// </summary>
    public bool EightBit { get; init; }

    /// <summary>Where models are downloaded from; null is what the environment says.</summary>
    public HubOptions? Hub { get; init; }
}
