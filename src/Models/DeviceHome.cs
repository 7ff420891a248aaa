using TorchSharp;

namespace Ndif.Models;

/// <summary>
/// Stands before a part of a model that is spread over devices (<see cref="DeviceMap"/>): tensors of a call that are elsewhere are
/// copied to the part's device first. Whoever watches the part sees the copies.
/// </summary>
/// <param name="answersTo">Where the result goes, if not left where it is: for the root.</param>
internal sealed class DeviceHome(torch.Device device, torch.Device? answersTo = null) : SiteObserver
{
    public override object? Call(SiteModule module, Arguments arguments)
    {
        Arguments here = arguments.On(device);
        object? result = Of(module.Index) is { } observer ? observer.Call(module, here) : module.Run(here);
        return answersTo is null ? result : Arguments.Moved(result, answersTo);
    }
}
