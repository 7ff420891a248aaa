using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Files.Packed;
using Ndif.Protocol;

namespace Ndif.Models.Loading;

/// <summary>The description of a model that is not loaded, and the memory that its weights will need.</summary>
/// <param name="Bytes">The bytes of the weights in memory with the given <see cref="LoadOptions"/>.</param>
internal sealed record ModelFootprint(ModelDescription Description, long Bytes)
{
    /// <summary>
    /// Reads the config and the headers of the weights. For a hub model whose weights have not been downloaded, only the few small
    /// files are downloaded. Weights that are present are checked against the config, so that an error is reported before a long load.
    /// </summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelFootprint Measure(string id, string? revision, LoadOptions options, CancellationToken cancellationToken = default)
    {
        ModelFolder folder = ModelStore.Find(id, revision, ModelParts.Description, options.Hub, null, cancellationToken);
        (ConfigReader config, PreTrainedModel root, TorchSharp.torch.ScalarType dtype) =
            ModelLoader.BuildTree(folder, ModelLoader.ReadConfig(folder), options.DType, checksWeights: options.DType is null);
        ModelDescription description = ModelDescriber.Describe(folder, config, root, dtype);
        Parameter[] distinct = [.. root.Modules.SelectMany(m => m.Parameters).Distinct()];
        Parameter? head = root.LmHead?.Parameters[0];
        long size = SafetensorsDTypes.Of(dtype).Size;
        Dictionary<Parameter, PackedTensor> packed = FindPacked(folder, config, root, options, dtype);
        long bytes = distinct.Sum(p => options.EightBit && p.InFeaturesDim is { } inFeaturesDim && p != head
            ? p.ElementCount + p.ElementCount / p.Shape[inFeaturesDim] * sizeof(float)
            : packed.GetValueOrDefault(p)?.Layout.Bytes ?? p.ElementCount * size);
        description.Bytes = (ulong)bytes;
        return new ModelFootprint(description, bytes);
    }

    /// <summary>The weights that will be kept packed.</summary>
    private static Dictionary<Parameter, PackedTensor> FindPacked(
        ModelFolder folder, ConfigReader config, PreTrainedModel root, LoadOptions options, TorchSharp.torch.ScalarType dtype)
    {
        Dictionary<Parameter, PackedTensor> found = [];
        if (!Checkpoint.IsComplete(folder.Path)) return found;
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path, config);
        if (!checkpoint.HasPackedTensors) return found;
        TorchSharp.torch.Device device = options.DeviceMap?.MainDevice ?? options.Device ?? TorchSharp.torch.CPU;
        foreach (var (parameter, tensors) in new WeightBinding(root, checkpoint).Bind(root))
            if (ModelLoader.FindBlocks(checkpoint, parameter, tensors, options, dtype, null, device) is { } tensor) found.Add(parameter,
                tensor);
        return found;
    }
}
