using System.Globalization;
using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>What was used on the service: jobs, tokens, passes, compute time and result bytes by day, key and model. Days are in UTC.</summary>
public static class ServiceUsage
{
    /// <summary>What this key has used.</summary>
    /// <param name="since">The first day; null for 30 days in all.</param>
    /// <param name="until">The last day; null for today.</param>
    public static Task<IReadOnlyList<UsageRow>> GetAsync(DateOnly? since = null, DateOnly? until = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).UsageAsync(CreateRequest("", since, until), asAdmin: false, cancellationToken);

    /// <summary>What a key has used, or with no id every key: for administrators.</summary>
    /// <param name="keyId">The part of the key between its underscores; empty for every one.</param>
    /// <exception cref="AccessException">This key has no scope `admin`.</exception>
    public static Task<IReadOnlyList<UsageRow>> OfAsync(string keyId, DateOnly? since = null, DateOnly? until = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).UsageAsync(CreateRequest(keyId, since, until), asAdmin: true, cancellationToken);

    private static GetUsageRequest CreateRequest(string key, DateOnly? since, DateOnly? until) => new() { Key = key, Since = FormatDay(since), Until = FormatDay(until) };

    private static string FormatDay(DateOnly? day) => day?.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) ?? "";
}
