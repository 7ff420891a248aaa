using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>A model with its weights, and all one may want to know of it. Owns the weights.</summary>
public sealed class LoadedModel : IDisposable
{
    private Dictionary<Parameter, Device>? _places; // where each weight was, while all are off their devices

    internal LoadedModel(ModelFolder folder, ConfigReader config, CausalLM root, ScalarType dtype, Device device)
    {
        (Folder, Config, Root, DType, Device) = (folder, config, root, dtype, device);
        Description = ModelDescriber.Describe(folder, config, root, dtype);
    }

    public ModelFolder Folder { get; }

    /// <summary>config.json</summary>
    public ConfigReader Config { get; }

    public CausalLM Root { get; }

    /// <summary>The element type of the weights.</summary>
    public ScalarType DType { get; }

    public Device Device { get; }

    public ModelDescription Description { get; }

    /// <summary>All modules by <see cref="SiteModule.Index"/>.</summary>
    public IReadOnlyList<SiteModule> Modules => Root.Modules;

    /// <summary>The module at a path, or null.</summary>
    public SiteModule? Module(string path)
    {
        foreach (SiteModule module in Modules)
            if (module.Path == path) return module;
        return null;
    }

    /// <summary>A cache for one batch of rows.</summary>
    public KeyValueCache NewCache() => new(Root.Config.LayerCount);

    /// <summary>Takes the weights off their devices, into this machine's memory. No pass may run until <see cref="Heat"/>.</summary>
    public void Cool()
    {
        if (_places is not null) return;
        _places = Modules.SelectMany(m => m.Parameters).Distinct().ToDictionary(p => p, p => p.Device);
        foreach (Parameter parameter in _places.Keys) parameter.MoveTo(CPU);
    }

    /// <summary>Brings the weights back to the devices that they were on.</summary>
    public void Heat()
    {
        foreach (var (parameter, device) in _places ?? []) parameter.MoveTo(device);
        _places = null;
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (SiteModule module in Modules)
            foreach (Parameter parameter in module.Parameters) parameter.Unload();
    }
}
