using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Loading;

/// <summary>
/// Which device holds which part of a model that is too large for one. Parts are the decoder layers and the modules beside them; a
/// part is never divided. What a part is called with follows it to its device, and the model's output comes back to the first.
/// </summary>
/// <remarks>device_map in accelerate (utils/modeling.py, hooks.py), of which Hugging Face's from_pretrained takes the same names.</remarks>
public sealed class DeviceMap
{
    private readonly IReadOnlyList<Device> _devices;
    private readonly IReadOnlyDictionary<string, Device>? _byPath;

    private DeviceMap(IReadOnlyList<Device> devices, IReadOnlyDictionary<string, Device>? byPath) => (_devices, _byPath) = (devices, byPath);

    /// <summary>Where inputs go and logits come: the first device.</summary>
    public Device MainDevice => _devices[0];

    /// <summary>True if nothing is spread.</summary>
    internal bool IsSingleDevice => _byPath is null && _devices.Count == 1;

    /// <summary>Layers in their order over these devices, so that each holds about the same number of bytes.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: there is no device.</exception>
    public static DeviceMap Over(params IReadOnlyList<Device> devices) => devices.Count > 0 ? new DeviceMap(devices, null)
        : throw Errors.CreateException(ErrorCode.BadArgument, "A device map needs at least one device.");

    /// <summary>The same from text: "cpu", "cuda:0,cuda:1".</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: that is no list of devices.</exception>
    public static DeviceMap Parse(string devices) => Over([.. devices.Split(',', StringSplitOptions.TrimEntries).Select(ParseDevice)]);

    /// <summary>Paths to devices, of which the longest that a part's path begins with counts; "" is everything else.</summary>
    /// <param name="byPath">{"": cuda:0, "model.layers.8": cuda:1}. Its first device takes inputs and gives the logits.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: it is empty.</exception>
    public static DeviceMap Of(IReadOnlyDictionary<string, Device> byPath) => new(Over([.. byPath.Values])._devices, byPath);

    /// <summary>Each part's device. A part that shares a parameter with an earlier one is where that is.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: a path of the map is no part of this model, or a part has no device.</exception>
    internal IReadOnlyList<(SiteModule Part, Device Device)> Assign(CausalLM root)
    {
        List<SiteModule> parts = [.. Parts(root, root.Names.Layers)];
        CheckPaths(parts);
        Dictionary<Parameter, Device> placed = [];
        List<(SiteModule, Device)> map = [];
        long all = parts.SelectMany(Parameters).Distinct().Sum(Elements), done = 0;
        foreach (SiteModule part in parts)
        {
            long own = Parameters(part).Where(p => !placed.ContainsKey(p)).Sum(Elements);
            Device device = Parameters(part).Select(p => placed.GetValueOrDefault(p)).FirstOrDefault(d => d is not null)
                ?? (_byPath is not null ? DeviceForPath(part.Path) : Even(part, own));
            foreach (Parameter parameter in Parameters(part)) placed.TryAdd(parameter, device);
            done += own;
            map.Add((part, device));
        }
        return map;

        // what stands before the layers is added up by the base model itself: it stays together
        Device Even(SiteModule part, long own) => own == 0 || map.Count < parts.FindIndex(p => IsLayer(p, root)) ? MainDevice
            : _devices[(int)Math.Min(_devices.Count - 1, (done + own / 2.0) / all * _devices.Count)];
    }

    /// <summary>Layers, and the modules beside them and beside what holds them.</summary>
    private static IEnumerable<SiteModule> Parts(SiteModule module, string layers) => module.Children.SelectMany(child =>
        child.Path == layers || layers.StartsWith($"{child.Path}.", StringComparison.Ordinal) ? Parts(child, layers) : [child]);

    private static bool IsLayer(SiteModule part, CausalLM root) => part.Path.StartsWith($"{root.Names.Layers}.", StringComparison.Ordinal);

    private static IEnumerable<Parameter> Parameters(SiteModule part) => part.Parameters.Concat(part.Children.SelectMany(Parameters));

    private static long Elements(Parameter parameter) => parameter.Shape.Aggregate(1L, (product, size) => product * size);

    private Device DeviceForPath(string path) => _byPath!.Where(entry => Covers(entry.Key, path)).OrderByDescending(entry => entry.Key.Length)
        .Select(entry => entry.Value).FirstOrDefault()
        ?? throw Errors.CreateException(ErrorCode.BadArgument, $"The device map says nothing of `{path}`.", "An entry with the path \"\" is for everything else.");

    private void CheckPaths(List<SiteModule> parts)
    {
        foreach (string path in _byPath?.Keys ?? [])
            if (!parts.Any(part => Covers(path, part.Path)))
                throw Errors.CreateException(ErrorCode.BadArgument, $"The device map has `{path}`, which is no part of this model.",
                    Errors.DidYouMean(path, parts.Select(part => part.Path)));
    }

    private static bool Covers(string prefix, string path) =>
        prefix.Length == 0 || path == prefix || path.StartsWith($"{prefix}.", StringComparison.Ordinal);

    private static Device ParseDevice(string name)
    {
        try
        {
            return new Device(name);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            throw Errors.CreateException(ErrorCode.BadArgument, $"`{name}` is no device.", "Devices are cpu, cuda, cuda:1, mps; several, with commas between them, share a model.", inner: e);
        }
    }
}
