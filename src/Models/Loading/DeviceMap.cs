using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Loading;

/// <summary>
/// Assigns the parts of a model that is too large for one device to several devices. Parts are the decoder layers and their
/// siblings; a part is never divided. The arguments of a part are copied to its device, and the model's output to the first device.
/// </summary>
/// <remarks>device_map in accelerate (utils/modeling.py, hooks.py), whose names Hugging Face's from_pretrained accepts too.</remarks>
internal sealed class DeviceMap
{
    private readonly IReadOnlyList<Device> _devices;
    private readonly IReadOnlyDictionary<string, Device>? _byPath;

    private DeviceMap(IReadOnlyList<Device> devices, IReadOnlyDictionary<string, Device>? byPath) =>
        (_devices, _byPath) = (devices, byPath);

    /// <summary>The device of inputs and logits: the first one.</summary>
    public Device MainDevice => _devices[0];

    /// <summary>Whether the whole model is on one device.</summary>
    internal bool IsSingleDevice => _byPath is null && _devices.Count == 1;

    /// <summary>Distributes the layers in order over these devices, so that each holds about the same number of parameters.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the list is empty.</exception>
    public static DeviceMap Over(params IReadOnlyList<Device> devices) => devices.Count > 0 ? new DeviceMap(devices, null)
        : throw Errors.CreateException(ErrorCode.BadArgument, "A device map needs at least one device.");

    /// <summary>Distributes the layers over the devices in a text: "cpu", "cuda:0,cuda:1".</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the text is not a list of devices.</exception>
    public static DeviceMap Parse(string devices) => Over([.. devices.Split(',', StringSplitOptions.TrimEntries).Select(ParseDevice)]);

    /// <summary>Assigns devices by path: the longest path that is a prefix of a module's path applies; "" matches all modules.</summary>
    /// <param name="byPath">The first device is that of inputs and logits.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: the map is empty.</exception>
    public static DeviceMap Of(IReadOnlyDictionary<string, Device> byPath) => new(Over([.. byPath.Values])._devices, byPath);

    /// <summary>The device of each part. A part that shares a parameter with an earlier part is on the same device.</summary>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: a path of the map matches no part of this model, or a part has no device.
    /// </exception>
    internal IReadOnlyList<(SiteModule Part, Device Device)> Assign(PreTrainedModel root)
    {
        List<SiteModule> parts = [.. Parts(root, root.Names.Layers)];
        CheckPaths(parts);
        Dictionary<Parameter, Device> placed = [];
        List<(SiteModule, Device)> map = [];
        long total = parts.SelectMany(Parameters).Distinct().Sum(p => p.ElementCount), assigned = 0;
        foreach (SiteModule part in parts)
        {
            long partElements = Parameters(part).Where(p => !placed.ContainsKey(p)).Sum(p => p.ElementCount);
            Device device = Parameters(part).Select(p => placed.GetValueOrDefault(p)).FirstOrDefault(d => d is not null)
                ?? (_byPath is not null ? DeviceForPath(part.Path) : DistributeEvenly(part, partElements));
            foreach (Parameter parameter in Parameters(part)) placed.TryAdd(parameter, device);
            assigned += partElements;
            map.Add((part, device));
        }
        return map;

        // the modules before the layers stay together, because the base model itself adds their outputs
        Device DistributeEvenly(SiteModule part, long partElements) =>
            partElements == 0 || map.Count < parts.FindIndex(p => IsLayer(p, root)) ? MainDevice
            : _devices[(int)Math.Min(_devices.Count - 1, (assigned + partElements / 2.0) / total * _devices.Count)];
    }

    /// <summary>
    /// The parts: the layers, and the siblings of the layer list and of the modules that contain it. A list, which is never called, is its
    /// items.
    /// </summary>
    private static IEnumerable<SiteModule> Parts(SiteModule module, string layers) => module.Children.SelectMany(child =>
        child.IsList || layers.StartsWith($"{child.Path}.", StringComparison.Ordinal) ? Parts(child, layers) : [child]);

    private static bool IsLayer(SiteModule part, PreTrainedModel root) =>
        part.Path.StartsWith($"{root.Names.Layers}.", StringComparison.Ordinal);

    private static IEnumerable<Parameter> Parameters(SiteModule part) => part.Parameters.Concat(part.Children.SelectMany(Parameters));

    private Device DeviceForPath(string path) => _byPath!.Where(entry => Covers(entry.Key, path))
        .OrderByDescending(entry => entry.Key.Length)
        .Select(entry => entry.Value).FirstOrDefault()
        ?? throw Errors.CreateException(ErrorCode.BadArgument, $"The device map says nothing of `{path}`.",
            "An entry with the path \"\" is for everything else.");

    private void CheckPaths(List<SiteModule> parts)
    {
        foreach (string path in _byPath?.Keys ?? [])
            if (!parts.Any(part => Covers(path, part.Path)))
                throw Errors.CreateException(ErrorCode.BadArgument, $"The device map has `{path}`, which is not a part of this model.",
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
            throw Errors.CreateException(ErrorCode.BadArgument, $"`{name}` is no device.",
                "Devices are cpu, cuda, cuda:1, mps; several, with commas between them, share a model.", inner: e);
        }
    }
}
