using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Redis;

namespace Ndif.Cli.Commands;

/// <summary>Checks Redis when a process of the service starts, and logs what an operator should know.</summary>
internal static partial class RedisStartCheck
{
    private static readonly string[] _refusals = ["WRONGPASS", "NOAUTH", "NOPERM"];

    /// <param name="queueBytes">
    /// The bytes that all keys may store in the queue, for a gateway (Gateway:TotalQueueBytes); null for others.
    /// </param>
    /// <exception cref="NdifException">UNAVAILABLE: Redis refuses the password or the user, which no waiting changes.</exception>
    public static async Task RunAsync(
        string address, string prefix, long? queueBytes, ILoggerFactory logs, CancellationToken cancellationToken)
    {
        ILogger logger = logs.CreateLogger("Ndif.Cli.Redis");
        foreach (CheckResult result in await RedisInspection.InspectAsync(address, prefix, queueBytes, cancellationToken))
        {
            if (result.Level is CheckLevel.Error && _refusals.Any(word => result.Message.Contains(word, StringComparison.Ordinal)))
                throw Errors.CreateException(ErrorCode.Unavailable, result.Message);
            if (result.Level is not CheckLevel.Ok) Report(logger, result.Check, result.Message, result.Advice);
        }
    }

    [LoggerMessage(4000, LogLevel.Warning, "{Check}: {Message} {Advice}")]
    private static partial void Report(ILogger logger, string check, string message, string advice);
}
