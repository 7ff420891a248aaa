using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>The status of the service.</summary>
public static class Status
{
    /// <summary>The models, workers and queues of the service.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: the service does not answer.</exception>
    public static Task<ServiceStatus> GetAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).StatusAsync(cancellationToken);

    /// <summary>True if a worker has the model loaded; false also where no service answers.</summary>
    public static async Task<bool> IsRunningAsync(string model, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        try
        {
            return (await GetAsync(remote, cancellationToken)).Models.Any(m => m.Id == model && m.Replicas > 0);
        }
        catch (NdifException e) when (e.Code is ErrorCode.Unavailable)
        {
            return false;
        }
    }
}
