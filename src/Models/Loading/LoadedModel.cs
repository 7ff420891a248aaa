using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>A model with its weights, and all one may want to know of it. Owns the weights.</summary>
public sealed class LoadedModel : IDisposable
{
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

    public Device Device { get; private set; }

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

    /// <summary>Moves the weights to another device, one by one; nothing if they are there. No pass may run meanwhile.</summary>
    public void MoveTo(Device device)
    {
        if (device.ToString() == Device.ToString()) return;
        foreach (Parameter parameter in Modules.SelectMany(m => m.Parameters).Distinct()) parameter.MoveTo(device);
        Device = device;
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (SiteModule module in Modules)
            foreach (Parameter parameter in module.Parameters) parameter.Unload();
    }
}
