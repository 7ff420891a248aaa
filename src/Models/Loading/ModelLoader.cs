using Ndif.Models.Architectures;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;

/// <summary>From a Hugging Face id or folder to a module tree, with or without weights.</summary>
public static class ModelLoader
{
    /// <summary>The tree and what belongs to it, without weights and without libtorch.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or UNSUPPORTED_ARCHITECTURE.</exception>
    public static ModelDescription Describe(string id, string? revision = null)
    {
        ModelFolder folder = ModelStore.Find(id, revision);
        ConfigReader config = ReadConfig(folder);
        CausalLM root = ArchitectureCatalog.Build(config);
        return ModelDescriber.Describe(folder, config, root, DescribedDType(folder, config));
    }

    /// <summary>The model with its weights.</summary>
    /// <param name="dtype">Null keeps the checkpoint's own element type, and then nothing is copied on the CPU.</param>
    /// <param name="device">Null is the CPU.</param>
    /// <param name="progress">Bytes of weights that are ready.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or UNSUPPORTED_ARCHITECTURE.</exception>
    public static LoadedModel Load(string id, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        ModelFolder folder = ModelStore.Find(id);
        return Load(folder, ReadConfig(folder), dtype, device, progress, cancellationToken);
    }

    /// <summary>The same for a folder that was found already, with any config: one of another style, or a changed one.</summary>
    public static LoadedModel Load(ModelFolder folder, ConfigReader config, ScalarType? dtype = null, Device? device = null,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        CausalLM root = ArchitectureCatalog.Build(config);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        List<KeyValuePair<Parameter, string[]>> bound = WeightBinding.Bind(root, checkpoint);
        ScalarType target = dtype ?? NativeDType(checkpoint, bound.SelectMany(b => b.Value), config);
        LoadedModel model = new(folder, config, root, target, device ?? CPU);
        try
        {
            long done = 0, total = bound.SelectMany(b => b.Value).Sum(name => checkpoint.Entry(name).Length);
            foreach (var (parameter, names) in bound)
            {
                cancellationToken.ThrowIfCancellationRequested();
                parameter.Value = Placed(Whole(checkpoint, parameter, names), target, model.Device);
                done += names.Sum(name => checkpoint.Entry(name).Length);
                progress?.Report(("weights", done, total));
            }
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>The model with shapes and no numbers: weights on the meta device. Needs no weight files.</summary>
    public static LoadedModel LoadShapes(ModelFolder folder, ConfigReader config)
    {
        LoadedModel model = new(folder, config, ArchitectureCatalog.Build(config), DescribedDType(folder, config), META);
        foreach (Parameter parameter in model.Modules.SelectMany(m => m.Parameters).Distinct())
            parameter.Value = empty(parameter.Shape, model.DType, META).DetachFromDisposeScope();
        return model;
    }

    public static ConfigReader ReadConfig(ModelFolder folder) => ConfigReader.Open(Path.Combine(folder.Path, "config.json"));

    /// <summary>A parameter's tensor, put together if the checkpoint has it in parts.</summary>
    private static Tensor Whole(Checkpoint checkpoint, Parameter parameter, string[] names)
    {
        if (names is [string only]) return checkpoint.Read(only);
        using var nothing = no_grad();
        Tensor[] parts = [.. names.Select(checkpoint.Read)];
        try
        {
            using Tensor rows = cat(parts, 0);                                   // [all parts' rows, ...]
            return rows.view(parameter.Shape).DetachFromDisposeScope();
        }
        finally
        {
            foreach (Tensor part in parts) part.Dispose();
        }
    }

    private static Tensor Placed(Tensor read, ScalarType dtype, Device device)
    {
        if (read.dtype == dtype && device.type == TorchSharp.DeviceType.CPU) return read;
        using (read)
        using (no_grad())
            return read.to(dtype, device).DetachFromDisposeScope();
    }

    /// <summary>The weights' own type; where they differ, the config's decides, as in Hugging Face's "auto".</summary>
    private static ScalarType NativeDType(Checkpoint checkpoint, IEnumerable<string> names, ConfigReader config)
    {
        DType[] all = [.. names.Select(n => checkpoint.Entry(n).DType).Distinct()];
        if (all is [{ Torch: { } only }]) return only;
        return ConfigDType(config) ?? all.FirstOrDefault(d => d.Torch is not null)?.Torch ?? ScalarType.Float32;
    }

    private static ScalarType DescribedDType(ModelFolder folder, ConfigReader config)
    {
        if (!Checkpoint.IsIn(folder.Path)) return ConfigDType(config) ?? ScalarType.Float32;
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        return NativeDType(checkpoint, checkpoint.Names, config);
    }

    private static ScalarType? ConfigDType(ConfigReader config) =>
        DTypes.OfConfig(config.Has("dtype") ? config.Text("dtype") : config.Text("torch_dtype", "auto"));
}
