using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Protocol;

namespace Ndif.Models.Loading;

/// <summary>What is known of a model before it is loaded: its description, and what its weights will take.</summary>
/// <param name="Bytes">Of the weights in memory, as <see cref="LoadOptions"/> ask for them.</param>
public sealed record ModelFootprint(ModelDescription Description, long Bytes)
{
    /// <summary>
    /// Reads config and headers, no weights. Of a hub model whose weights have not come yet only the few small files are fetched. Weights
    /// that are here are checked against the config: what fails now would fail after a long load.
    /// </summary>
    /// <param name="revision">A branch, tag or commit of a hub model; null is "main".</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelFootprint Measure(string id, string? revision, LoadOptions options, CancellationToken cancellationToken = default)
    {
        ModelFolder folder = ModelStore.Find(id, revision, ModelParts.Description, options.Hub, null, cancellationToken);
        ConfigReader config = ModelLoader.ReadConfig(folder);
        CausalLM root = ArchitectureCatalog.Build(config);
        var dtype = options.DType ?? CheckedDType(folder, config, root);
        ModelDescription description = ModelDescriber.Describe(folder, config, root, dtype);
        Parameter[] distinct = [.. root.Modules.SelectMany(m => m.Parameters).Distinct()];
        Parameter? head = root.Modules.FirstOrDefault(m => m.Path == root.Names.LmHead)?.Parameters[0];
        long size = SafetensorsDTypes.Of(dtype).Size;
        long bytes = distinct.Sum(p => options.EightBit && p.InFeaturesDim is { } inputs && p != head
            ? Elements(p.Shape) + Elements(p.Shape) / p.Shape[inputs] * sizeof(float)
            : Elements(p.Shape) * size);
        description.Bytes = (ulong)bytes;
        return new ModelFootprint(description, bytes);
    }

    private static TorchSharp.torch.ScalarType CheckedDType(ModelFolder folder, ConfigReader config, CausalLM root)
    {
        if (!Checkpoint.ExistsIn(folder.Path) || !Checkpoint.IsComplete(folder.Path)) return ModelLoader.DescribedDType(folder, config);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        return ModelLoader.CheckpointDType(checkpoint, WeightBinding.Bind(root, checkpoint).SelectMany(b => b.Value), config);
    }

    private static long Elements(long[] shape) => shape.Aggregate(1L, (product, size) => product * size);
}
