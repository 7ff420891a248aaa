using TorchSharp;

namespace Ndif.Models;

internal static class DeviceExtensions
{
    /// <summary>Whether two values name the same device: "cuda" is "cuda:0".</summary>
    public static bool IsSameDevice(this torch.Device device, torch.Device other) =>
        device.type == other.type && Math.Max(0, device.index) == Math.Max(0, other.index);
}
