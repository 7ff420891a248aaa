using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

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

    /// <summary>Where inputs go and logits come.</summary>
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
    public KeyValueCache NewCache() => new(Root.Config.NumLayers);

    /// <summary>Each parameter's device in a model that is spread over several; in any other it is <see cref="Device"/>.</summary>
    internal IReadOnlyDictionary<Parameter, Device> ParameterDevices { get; set; } = new Dictionary<Parameter, Device>();

    /// <summary>Takes the weights off their devices, into this machine's memory, one by one. No pass may run meanwhile, nor until they are back.</summary>
    public void Offload() => Move(_ => CPU);

    /// <summary>Brings them back.</summary>
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
