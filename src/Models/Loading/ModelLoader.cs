using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Files.Packed;
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
        (ConfigReader config, PreTrainedModel root, ScalarType type) = BuildTree(folder, ReadConfig(folder), dtype);
        return ModelDescriber.Describe(folder, config, root, type);
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
        NativeTorch.EnsureLoaded();
        PreTrainedModel root = ArchitectureCatalog.Build(config);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path, config);
        WeightBinding weights = BindTies(ref config, ref root, checkpoint, out bool isUntied);
        List<string> warnings = isUntied ? [UntiedWarning(folder)] : [];
        using LoraMerger? adapter = options.Adapter is { } given
            ? OpenAdapter(given, options.Hub, root, weights, warnings, progress, cancellationToken) : null;
        if (adapter?.SeparatesTiedWeights == true) root = Build(ref config, root, tied: false);
        List<KeyValuePair<Parameter, BoundTensor[]>> bound = weights.Bind(root);
        ScalarType target = options.DType ?? CheckpointDType(checkpoint, weights.Names, config);
        LoadedModel model = new(folder, config, root, target, options.DeviceMap?.MainDevice ?? options.Device ?? CPU)
        {
            Warnings = warnings,
        };
        try
        {
            if (options.DeviceMap is { IsSingleDevice: false } map) PlaceOnDevices(model, map);
            // the output projection is not quantized: its error would go straight into the logits
            Parameter? head = root.LmHead?.Parameters[0];
            bool isUnconverted = !options.EightBit && adapter is null && model.Device.type == TorchSharp.DeviceType.CPU
                && weights.Names.All(name => checkpoint.Entry(name).DType.Torch == target);
            if (isUnconverted) checkpoint.ReadAhead();
            long done = 0, total = bound.SelectMany(b => b.Value).Sum(tensor => checkpoint.Entry(tensor.Name).Length);
            foreach (var (parameter, tensors) in bound)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (FindBlocks(checkpoint, parameter, tensors, options, target, adapter, model.DeviceOf(parameter)) is { } packed)
                {
                    parameter.SetBlocks(BlockWeight.Create(packed, target));
                    packed.ReleasePages();
                    done += packed.Entry.Length;
                    progress?.Report(("weights", done, total));
                    continue;
                }
                Tensor weight = ReadParameter(checkpoint, adapter, parameter, tensors); // the shape of the parameter
                Device device = model.DeviceOf(parameter);
                bool isMapped = tensors is [var only] && adapter?.HasChangesFor(only.Path) != true && checkpoint.IsMapped(only.Name);
                if (options.EightBit && parameter.InFeaturesDim is { } inFeaturesDim && parameter != head)
                    using (weight) parameter.SetEightBit(EightBitWeight.Quantize(weight, inFeaturesDim, target, device));
                else parameter.Value = Convert(weight, target, device);
                if (!isMapped || parameter.IsEightBit || !ReferenceEquals(parameter.Value, weight))
                    foreach (BoundTensor tensor in tensors) checkpoint.ReleasePages(tensor.Name);
                done += tensors.Sum(tensor => checkpoint.Entry(tensor.Name).Length);
                progress?.Report(("weights", done, total));
            }
            model.Description.Bytes = (ulong)bound.Sum(b => b.Key.Bytes);
            if (model.Device.type == TorchSharp.DeviceType.CPU)
            {
                ProductKernelTable.Prepare(target, isEightBit: false);
                if (options.EightBit) ProductKernelTable.Prepare(target, isEightBit: true);
            }
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The packed tensor that a parameter is kept as: that of a linear layer, on the CPU, in a type that its kernels have. Any other packed
    /// tensor is dequantized when it is loaded.
    /// </summary>
    internal static PackedTensor? FindBlocks(Checkpoint checkpoint, Parameter parameter, BoundTensor[] tensors, LoadOptions options,
        ScalarType target, LoraMerger? adapter, Device device) =>
        tensors is [var only] && parameter.InFeaturesDim is not null && !options.EightBit && device.type == TorchSharp.DeviceType.CPU
            && target is ScalarType.Float32 or ScalarType.BFloat16 && LinearKernels.IsEnabled && adapter?.HasChangesFor(only.Path) != true
            && checkpoint.FindPacked(only.Name) is { IsMultipliable: true } packed ? packed : null;

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

    private static LoraMerger OpenAdapter(string name, HubOptions? hub, PreTrainedModel root, WeightBinding weights, List<string> warnings,
        IProgress<(string What, long Done, long Total)>? progress, CancellationToken cancellationToken)
    {
        AdapterFile file = AdapterFile.Open(ModelStore.Find(name, null, ModelParts.Adapter, hub, progress, cancellationToken).Path);
        LoraMerger adapter = new(file);
        try
        {
            adapter.Bind(root, weights);
            warnings.AddRange(file.Warnings);
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
        NativeTorch.EnsureLoaded();
        (config, PreTrainedModel root, ScalarType type) = BuildTree(folder, config, dtype);
        LoadedModel model = new(folder, config, root, type, META);
        foreach (Parameter parameter in model.Modules.SelectMany(m => m.Parameters).Distinct())
            parameter.Value = empty(parameter.Shape, model.DType, META).DetachFromDisposeScope();
        return model;
    }

    /// <summary>
    /// Builds the tree of a model whose weights may be missing, and finds its element type. Weights that config.json ties and that differ
    /// in the checkpoint are not tied.
    /// </summary>
    /// <param name="dtype">The element type that the model will be loaded in; null is that of the checkpoint.</param>
    /// <param name="checksWeights">Whether weights that are present must be those of the config.</param>
    /// <remarks>tie_weights in transformers/modeling_utils.py</remarks>
    internal static (ConfigReader Config, PreTrainedModel Root, ScalarType DType) BuildTree(
        ModelFolder folder, ConfigReader config, ScalarType? dtype, bool checksWeights = false)
    {
        PreTrainedModel root = ArchitectureCatalog.Build(config);
        Quantization.Read(config); // a method that is not supported is reported before a download
        if (!Checkpoint.IsComplete(folder.Path)) return (config, root, dtype ?? DTypeWithoutWeights(config));
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path, config);
        WeightBinding weights = BindTies(ref config, ref root, checkpoint, out _);
        if (checksWeights) weights.Bind(root);
        return (config, root, dtype ?? CheckpointDType(checkpoint, weights.Names, config));
    }

    /// <summary>Builds the tree of a model again, with or without an output projection of its own.</summary>
    private static PreTrainedModel Build(ref ConfigReader config, PreTrainedModel root, bool tied)
    {
        config = root.WithTies(config, tied);
        return ArchitectureCatalog.Build(config);
    }

    /// <summary>Finds the tensors of a tree, which is built again if the checkpoint ties other weights than config.json says.</summary>
    /// <param name="isUntied">Whether weights that config.json ties differ in the checkpoint.</param>
    /// <remarks>tie_weights in transformers/modeling_utils.py</remarks>
    private static WeightBinding BindTies(ref ConfigReader config, ref PreTrainedModel root, Checkpoint checkpoint, out bool isUntied)
    {
        WeightBinding weights = new(root, checkpoint);
        bool lacksHead = root.TiesMissingHead && weights.IsMissing($"{root.Names.LmHead}.weight");
        if (lacksHead) weights = new(root = Build(ref config, root, tied: true), checkpoint);
        isUntied = weights.HasUntiedWeights;
        if (isUntied)
        {
            root = Build(ref config, root, tied: false);
            weights.Untie();
        }
        return weights;
    }

    private static string UntiedWarning(ModelFolder folder) => $"config.json of `{folder.Id}` ties the output projection to the embedding, "
        + "but the checkpoint has different weights for them. They are not tied.";

    public static ConfigReader ReadConfig(ModelFolder folder) => folder.ReadConfig();

    /// <summary>
    /// Reads the tensor of a parameter: concatenated if the checkpoint stores it in parts, and merged with the adapter.
    /// </summary>
    private static Tensor ReadParameter(Checkpoint checkpoint, LoraMerger? adapter, Parameter parameter, BoundTensor[] tensors)
    {
        if (tensors is [var only]) return Read(only);
        if (tensors.Length == 0) return zeros(parameter.Shape).DetachFromDisposeScope();
        using var noGrad = no_grad();
        Tensor[] parts = [.. tensors.Select(Read)];
        try
        {
            using Tensor joined = cat(parts, 0);                                   // the rows of all parts
            return joined.view(parameter.Shape).DetachFromDisposeScope();
        }
        finally
        {
            foreach (Tensor part in parts) part.Dispose();
        }

        Tensor Read(BoundTensor tensor) => adapter is null ? checkpoint.Read(tensor.Name)
            : adapter.Merge(tensor.Path, () => checkpoint.Read(tensor.Name));
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
        if (checkpoint.HasPackedTensors) return PackedDType(config);
        SafetensorsDType[] all = [.. names.Select(n => checkpoint.Entry(n).DType).Distinct()];
        if (all.Length == 1 && all[0].Torch is { } only) return only;
        return ConfigDType(config) ?? all.FirstOrDefault(d => d.Torch is not null)?.Torch ?? ScalarType.Float32;
    }

    private static ScalarType DTypeWithoutWeights(ConfigReader config) =>
        config.Has("quantization_config") ? PackedDType(config) : ConfigDType(config) ?? ScalarType.Float32;

    /// <summary>
    /// The type that packed weights are multiplied in: bfloat16 if the config asks for it, otherwise float32, which loses nothing, and
    /// which the CPU kernels have in place of float16.
    /// </summary>
    private static ScalarType PackedDType(ConfigReader config) =>
        ConfigDType(config) is ScalarType.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;

    private static ScalarType? ConfigDType(ConfigReader config) =>
        SafetensorsDTypes.OfConfig(config.Has("dtype") ? config.Text("dtype") : config.Text("torch_dtype", "auto"));
}
