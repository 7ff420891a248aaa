using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Loading;

/// <summary>Loads models from a Hugging Face id or folder, with or without weights.</summary>
internal static class ModelLoader
{
    /// <summary>
    /// Describes a model without its weights and without libtorch. Of a hub model only a few small files are downloaded.
    /// </summary>
    /// <param name="dtype">The element type that the model will be loaded in; null is that of the checkpoint.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelDescription Describe(string id, string? revision = null, ScalarType? dtype = null)
    {
        ModelFolder folder = ModelStore.Find(id, revision);
        ConfigReader config = ReadConfig(folder);
        CausalLM root = BuildTree(folder, ref config);
        return ModelDescriber.Describe(folder, config, root, dtype ?? DescribedDType(folder, config));
    }

    /// <summary>Loads a model with its weights.</summary>
    /// <param name="dtype">The element type; null is that of the checkpoint, which needs no copy on the CPU.</param>
    /// <param name="device">The device; null is the CPU.</param>
    /// <param name="progress">Reports the bytes of weights that are loaded.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static LoadedModel Load(string id, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default) =>
        Load(id, null, new LoadOptions { DType = dtype, Device = device }, progress, cancellationToken);

    /// <summary>Loads a model at a revision of the hub, with options.</summary>
    /// <param name="progress">Reports the bytes of a download, then the bytes of weights that are loaded.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static LoadedModel Load(string id, string? revision, LoadOptions options,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        ModelFolder folder = ModelStore.Find(id, revision, ModelParts.Weights, options.Hub, progress, cancellationToken);
        return Load(folder, ReadConfig(folder), options, progress, cancellationToken);
    }

    /// <summary>Loads a model from a folder with any config: in another format, or changed.</summary>
    public static LoadedModel Load(ModelFolder folder, ConfigReader config, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default) =>
        Load(folder, config, new LoadOptions { DType = dtype, Device = device }, progress, cancellationToken);

    /// <summary>
    /// Loads a model from a folder with any config and with options. Weights are loaded one by one, and the pages of a converted weight
    /// are released, so there are never two copies of the model in memory.
    /// </summary>
    public static LoadedModel Load(ModelFolder folder, ConfigReader config, LoadOptions options,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        CausalLM root = ArchitectureCatalog.Build(config);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        bool isUntied = WeightBinding.HasUntiedWeights(root, checkpoint);
        if (isUntied) root = BuildUntied(ref config);
        List<KeyValuePair<Parameter, string[]>> bound = WeightBinding.Bind(root, checkpoint);
        using LoraMerger? adapter = options.Adapter is { } given
            ? OpenAdapter(given, options.Hub, root, checkpoint, progress, cancellationToken) : null;
        ScalarType target = options.DType ?? CheckpointDType(checkpoint, bound.SelectMany(b => b.Value), config);
        LoadedModel model = new(folder, config, root, target, options.DeviceMap?.MainDevice ?? options.Device ?? CPU)
        {
            Warnings = isUntied ? [$"config.json of `{folder.Id}` ties the output projection to the embedding, but the checkpoint has "
                + "different weights for them. They are not tied."] : [],
        };
        try
        {
            if (options.DeviceMap is { IsSingleDevice: false } map) PlaceOnDevices(model, map);
            // the output projection is not quantized: its error would go straight into the logits
            Parameter? head = model.Module(root.Names.LmHead)?.Parameters[0];
            bool isUnconverted = !options.EightBit && adapter is null && model.Device.type == TorchSharp.DeviceType.CPU
                && bound.SelectMany(b => b.Value).All(name => checkpoint.Entry(name).DType.Torch == target);
            if (isUnconverted) checkpoint.ReadAhead();
            long done = 0, total = bound.SelectMany(b => b.Value).Sum(name => checkpoint.Entry(name).Length);
            foreach (var (parameter, names) in bound)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Tensor weight = ReadParameter(checkpoint, adapter, parameter, names); // the shape of the parameter
                Device device = model.DeviceOf(parameter);
                bool isMapped = names is [string only] && adapter?.HasChangesFor(only) != true;
                if (options.EightBit && parameter.InFeaturesDim is { } inFeaturesDim && parameter != head)
                    using (weight) parameter.SetEightBit(EightBitWeight.Quantize(weight, inFeaturesDim, target, device));
                else parameter.Value = Convert(weight, target, device);
                if (!isMapped || parameter.IsEightBit || !ReferenceEquals(parameter.Value, weight))
                    foreach (string name in names) checkpoint.ReleasePages(name);
                done += names.Sum(name => checkpoint.Entry(name).Length);
                progress?.Report(("weights", done, total));
            }
            model.Description.Bytes = (ulong)bound.Sum(b => b.Key.Bytes);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Assigns devices to the parts of a model and to their parameters.</summary>
    private static void PlaceOnDevices(LoadedModel model, DeviceMap map)
    {
        model.Root.PlaceOn(map.MainDevice, outputDevice: map.MainDevice);
        foreach (var (part, device) in map.Assign(model.Root)) part.PlaceOn(device);
        Dictionary<Parameter, Device> devices = [];
        foreach (SiteModule module in model.Modules)
            foreach (Parameter parameter in module.Parameters)
                devices.TryAdd(parameter, module.Device!);
        model.ParameterDevices = devices;
    }

    private static LoraMerger OpenAdapter(string name, HubOptions? hub, CausalLM root, Checkpoint checkpoint,
        IProgress<(string What, long Done, long Total)>? progress, CancellationToken cancellationToken)
    {
        LoraMerger adapter = new(AdapterFile.Open(ModelStore.Find(name, null, ModelParts.Adapter, hub, progress, cancellationToken).Path));
        try
        {
            adapter.Bind(root, checkpoint);
            return adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    /// <summary>Creates a model with weights on the meta device, which have shapes and no data. Needs no weight files.</summary>
    /// <param name="dtype">The element type that the model will be loaded in; null is that of the checkpoint.</param>
    public static LoadedModel LoadShapes(ModelFolder folder, ConfigReader config, ScalarType? dtype = null)
    {
        CausalLM root = BuildTree(folder, ref config);
        LoadedModel model = new(folder, config, root, dtype ?? DescribedDType(folder, config), META);
        foreach (Parameter parameter in model.Modules.SelectMany(m => m.Parameters).Distinct())
            parameter.Value = empty(parameter.Shape, model.DType, META).DetachFromDisposeScope();
        return model;
    }

    /// <summary>
    /// Builds the tree of a model whose weights may be missing. Weights that config.json ties and that differ in the checkpoint are not
    /// tied.
    /// </summary>
    /// <remarks>tie_weights in transformers/modeling_utils.py</remarks>
    private static CausalLM BuildTree(ModelFolder folder, ref ConfigReader config)
    {
        CausalLM root = ArchitectureCatalog.Build(config);
        if (!Checkpoint.ExistsIn(folder.Path) || !Checkpoint.IsComplete(folder.Path)) return root;
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        return WeightBinding.HasUntiedWeights(root, checkpoint) ? BuildUntied(ref config) : root;
    }

    private static CausalLM BuildUntied(ref ConfigReader config)
    {
        config = config.With("tie_word_embeddings", false);
        return ArchitectureCatalog.Build(config);
    }

    public static ConfigReader ReadConfig(ModelFolder folder) => ConfigReader.Open(Path.Combine(folder.Path, "config.json"));

    /// <summary>
    /// Reads the tensor of a parameter: concatenated if the checkpoint stores it in parts, and merged with the adapter.
    /// </summary>
    private static Tensor ReadParameter(Checkpoint checkpoint, LoraMerger? adapter, Parameter parameter, string[] names)
    {
        if (names is [string only]) return Read(only);
        using var noGrad = no_grad();
        Tensor[] parts = [.. names.Select(Read)];
        try
        {
            using Tensor joined = cat(parts, 0);                                   // the rows of all parts
            return joined.view(parameter.Shape).DetachFromDisposeScope();
        }
        finally
        {
            foreach (Tensor part in parts) part.Dispose();
        }

        Tensor Read(string name)
        {
            Tensor read = checkpoint.Read(name);
            return adapter?.Merge(name, read) ?? read;
        }
    }

    private static Tensor Convert(Tensor read, ScalarType dtype, Device device)
    {
        if (read.dtype == dtype && device.type == TorchSharp.DeviceType.CPU) return read;
        using (read)
        using (no_grad())
            return read.to(dtype, device).DetachFromDisposeScope();
    }

    /// <summary>The element type of the weights. If they differ, the config decides, as in Hugging Face's "auto".</summary>
    internal static ScalarType CheckpointDType(Checkpoint checkpoint, IEnumerable<string> names, ConfigReader config)
    {
        SafetensorsDType[] all = [.. names.Select(n => checkpoint.Entry(n).DType).Distinct()];
        if (all is [{ Torch: { } only }]) return only;
        return ConfigDType(config) ?? all.FirstOrDefault(d => d.Torch is not null)?.Torch ?? ScalarType.Float32;
    }

    internal static ScalarType DescribedDType(ModelFolder folder, ConfigReader config)
    {
        if (!Checkpoint.ExistsIn(folder.Path) || !Checkpoint.IsComplete(folder.Path)) return ConfigDType(config) ?? ScalarType.Float32;
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        return CheckpointDType(checkpoint, checkpoint.Names, config);
    }

    private static ScalarType? ConfigDType(ConfigReader config) =>
        SafetensorsDTypes.OfConfig(config.Has("dtype") ? config.Text("dtype") : config.Text("torch_dtype", "auto"));
}
