using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>
/// Jobs that failed because too many workers were lost while they ran. For operators, whose keys have the scope `operator` or `admin`.
/// </summary>
public static class DeadLetters
{
    /// <summary>The dead letters of all owners, newest first.</summary>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<IReadOnlyList<DeadLetter>> ListAsync(
        int limit = 100, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return RemoteService.For(remote).DeadLettersAsync(limit, cancellationToken);
    }

    /// <summary>Runs a dead letter again as a new job of the same owner. Repeated calls create one job.</summary>
    /// <returns>The id of the new job.</returns>
    /// <exception cref="NdifException">UNKNOWN_JOB: there is no such dead letter.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<string> RequeueAsync(string jobId, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).RequeueAsync(jobId, cancellationToken);
}
