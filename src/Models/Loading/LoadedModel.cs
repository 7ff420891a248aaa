using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>A model with its weights, which it owns, and its description.</summary>
internal sealed class LoadedModel : IDisposable
{
    internal LoadedModel(ModelFolder folder, ConfigReader config, PreTrainedModel root, ScalarType dtype, Device device)
    {
        (Folder, Config, Root, DType, Device) = (folder, config, root, dtype, device);
        Description = ModelDescriber.Describe(folder, config, root, dtype);
    }

    public ModelFolder Folder { get; }

    /// <summary>config.json</summary>
    public ConfigReader Config { get; }

    public PreTrainedModel Root { get; }

    /// <summary>The element type of the weights.</summary>
    public ScalarType DType { get; }

    /// <summary>The device of inputs and logits.</summary>
    public Device Device { get; }

    public ModelDescription Description { get; }

    /// <summary>What a user should know about the way in which the files were read.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>All modules by <see cref="SiteModule.Index"/>.</summary>
    public IReadOnlyList<SiteModule> Modules => Root.Modules;

    /// <summary>The module at a path, or null.</summary>
    public SiteModule? Module(string path)
    {
        foreach (SiteModule module in Modules)
            if (module.Path == path) return module;
        return null;
    }

    /// <summary>Creates a cache for one batch.</summary>
    public KeyValueCache NewCache() => new(Root.Config.NumLayers);

    /// <summary>The device of each parameter of a model that is on several devices; empty for any other model.</summary>
    internal IReadOnlyDictionary<Parameter, Device> ParameterDevices { get; set; } = new Dictionary<Parameter, Device>();

    /// <summary>Moves the weights to host memory, one by one. No pass may run until <see cref="LoadToDevice"/> has returned.</summary>
    public void Offload() => Move(_ => CPU);

    /// <summary>Moves the weights back to their devices.</summary>
    public void LoadToDevice() => Move(DeviceOf);

    internal Device DeviceOf(Parameter parameter) => ParameterDevices.GetValueOrDefault(parameter, Device);

    private void Move(Func<Parameter, Device> to)
    {
        foreach (Parameter parameter in Modules.SelectMany(m => m.Parameters).Distinct()) parameter.MoveTo(to(parameter));
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (SiteModule module in Modules)
            foreach (Parameter parameter in module.Parameters) parameter.Unload();
    }
}
