using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Loading;

/// <summary>From a Hugging Face id or folder to a module tree, with or without weights.</summary>
public static class ModelLoader
{
    /// <summary>The tree and what belongs to it, without weights and without libtorch. Of a hub model only the few files of it are fetched.</summary>
    /// <param name="dtype">The element type that it will be loaded in; null is the checkpoint's own.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelDescription Describe(string id, string? revision = null, ScalarType? dtype = null)
    {
        ModelFolder folder = ModelStore.Find(id, revision);
        ConfigReader config = ReadConfig(folder);
        CausalLM root = ArchitectureCatalog.Build(config);
        return ModelDescriber.Describe(folder, config, root, dtype ?? DescribedDType(folder, config));
    }

    /// <summary>The model with its weights.</summary>
    /// <param name="dtype">Null keeps the checkpoint's own element type, and then nothing is copied on the CPU.</param>
    /// <param name="device">Null is the CPU.</param>
    /// <param name="progress">Bytes of weights that are ready.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static LoadedModel Load(string id, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default) =>
        Load(id, null, new LoadOptions { DType = dtype, Device = device }, progress, cancellationToken);

    /// <summary>The same by options, and at a revision of the hub's.</summary>
    /// <param name="progress">Bytes of a download, then bytes of weights that are ready.</param>
    /// <exception cref="NdifException">As above.</exception>
    public static LoadedModel Load(string id, string? revision, LoadOptions options,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        ModelFolder folder = ModelStore.Find(id, revision, ModelParts.Weights, options.Hub, progress, cancellationToken);
        return Load(folder, ReadConfig(folder), options, progress, cancellationToken);
    }

    /// <summary>The same for a folder that was found already, with any config: one of another style, or a changed one.</summary>
    public static LoadedModel Load(ModelFolder folder, ConfigReader config, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default) =>
        Load(folder, config, new LoadOptions { DType = dtype, Device = device }, progress, cancellationToken);

    /// <summary>The same by options. Weights come one by one, and what was read of a converted one is let go: there are never two copies of the model.</summary>
    public static LoadedModel Load(ModelFolder folder, ConfigReader config, LoadOptions options,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        CausalLM root = ArchitectureCatalog.Build(config);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        List<KeyValuePair<Parameter, string[]>> bound = WeightBinding.Bind(root, checkpoint);
        using LoraMerger? adapter = options.Adapter is { } given ? OpenAdapter(given, options.Hub, root, checkpoint, progress, cancellationToken) : null;
        ScalarType target = options.DType ?? CheckpointDType(checkpoint, bound.SelectMany(b => b.Value), config);
        LoadedModel model = new(folder, config, root, target, options.DeviceMap?.MainDevice ?? options.Device ?? CPU);
        try
        {
            if (options.DeviceMap is { IsSingleDevice: false } map) PlaceOnDevices(model, map);
            Parameter? head = model.Module(root.Names.LmHead)?.Parameters[0]; // its errors would go straight into the result
            if (!options.EightBit && adapter is null && model.Device.type == TorchSharp.DeviceType.CPU && bound.SelectMany(b => b.Value).All(name => checkpoint.Entry(name).DType.Torch == target))
                checkpoint.ReadAhead();
            long done = 0, total = bound.SelectMany(b => b.Value).Sum(name => checkpoint.Entry(name).Length);
            foreach (var (parameter, names) in bound)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Tensor whole = ReadParameter(checkpoint, adapter, parameter, names);
                Device device = model.DeviceOf(parameter);
                bool mapped = names is [string only] && adapter?.HasChangesFor(only) != true;
                if (options.EightBit && parameter.InFeaturesDim is { } inputs && parameter != head)
                    using (whole) parameter.SetEightBit(EightBitWeight.Quantize(whole, inputs, target, device));
                else parameter.Value = Convert(whole, target, device);
                if (!mapped || parameter.IsEightBit || !ReferenceEquals(parameter.Value, whole))
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

    /// <summary>Gives the parts of a model, and their parameters, their devices.</summary>
    private static void PlaceOnDevices(LoadedModel model, DeviceMap map)
    {
        model.Root.PlaceOn(map.MainDevice, outputDevice: map.MainDevice);
        foreach (var (part, device) in map.Assign(model.Root)) part.PlaceOn(device);
        Dictionary<Parameter, Device> places = [];
        foreach (SiteModule module in model.Modules)
            foreach (Parameter parameter in module.Parameters)
                places.TryAdd(parameter, module.Device!);
        model.ParameterDevices = places;
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

    /// <summary>The model with shapes and no numbers: weights on the meta device. Needs no weight files.</summary>
    /// <param name="dtype">The element type that it will be loaded in; null is the checkpoint's own.</param>
    public static LoadedModel LoadShapes(ModelFolder folder, ConfigReader config, ScalarType? dtype = null)
    {
        LoadedModel model = new(folder, config, ArchitectureCatalog.Build(config), dtype ?? DescribedDType(folder, config), META);
        foreach (Parameter parameter in model.Modules.SelectMany(m => m.Parameters).Distinct())
            parameter.Value = empty(parameter.Shape, model.DType, META).DetachFromDisposeScope();
        return model;
    }

    public static ConfigReader ReadConfig(ModelFolder folder) => ConfigReader.Open(Path.Combine(folder.Path, "config.json"));

    /// <summary>A parameter's tensor with what an adapter adds, put together if the checkpoint has it in parts.</summary>
    private static Tensor ReadParameter(Checkpoint checkpoint, LoraMerger? adapter, Parameter parameter, string[] names)
    {
        if (names is [string only]) return Read(only);
        using var nothing = no_grad();
        Tensor[] parts = [.. names.Select(Read)];
        try
        {
            using Tensor rows = cat(parts, 0);                                   // [all parts' rows, ...]
            return rows.view(parameter.Shape).DetachFromDisposeScope();
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

    /// <summary>The weights' own type; where they differ, the config's decides, as in Hugging Face's "auto".</summary>
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
