using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// Stands before a part of a model that is spread over devices (<see cref="DeviceMap"/>): tensors of a call that are elsewhere are
/// copied to the part's device first. Whoever watches the part sees the copies.
/// </summary>
/// <param name="outputDevice">Where the result goes, if not left where it is: for the root.</param>
internal sealed class AlignDevicesHook(torch.Device device, torch.Device? outputDevice = null) : SiteHook
{
    public override object? Call(SiteModule module, Arguments arguments)
    {
        Arguments here = arguments.To(device);
        object? result = ForModule(module.Index) is { } observer ? observer.Call(module, here) : module.Run(here);
        return outputDevice is null ? result : Arguments.MoveTo(result, outputDevice);
    }
}
