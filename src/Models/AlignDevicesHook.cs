using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// The hook of a part of a model that is on several devices (<see cref="DeviceMap"/>): it copies tensor arguments that are on another
/// device to the part's device. A hook of the part sees the copies.
/// </summary>
/// <param name="outputDevice">The device that the result is copied to; null leaves it where it is. Used for the root.</param>
internal sealed class AlignDevicesHook(torch.Device device, torch.Device? outputDevice = null) : SiteHook
{
    public override object? Call(SiteModule module, Arguments arguments)
    {
        Arguments aligned = arguments.To(device);
        object? result = ForModule(module.Index) is { } hook ? hook.Call(module, aligned) : module.Run(aligned);
        return outputDevice is null ? result : Arguments.MoveTo(result, outputDevice);
    }
}
