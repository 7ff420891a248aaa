using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue.Redis;

namespace Ndif.Cli.Commands;

/// <summary>Checks Redis when a process of the service starts, and logs what an operator should know.</summary>
internal static partial class RedisStartCheck
{
    private static readonly string[] _refusals = ["WRONGPASS", "NOAUTH", "NOPERM"];

    /// <exception cref="NdifException">UNAVAILABLE: Redis refuses the password or the user, which no waiting changes.</exception>
    public static async Task RunAsync(string address, string prefix, ILoggerFactory logs, CancellationToken cancellationToken)
    {
        ILogger logger = logs.CreateLogger("Ndif.Cli.Redis");
        foreach (Finding finding in await RedisInspection.InspectAsync(address, prefix, cancellationToken))
        {
            if (finding.Level is FindingLevel.Error && _refusals.Any(word => finding.Message.Contains(word, StringComparison.Ordinal)))
                throw Errors.CreateException(ErrorCode.Unavailable, finding.Message);
            if (finding.Level is not FindingLevel.Ok) Report(logger, finding.Check, finding.Message, finding.Advice);
        }
    }

    [LoggerMessage(4000, LogLevel.Warning, "{Check}: {Finding} {Advice}")]
    private static partial void Report(ILogger logger, string check, string finding, string advice);
}
