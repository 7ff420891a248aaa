using System.Globalization;
using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>The usage of the service: jobs, tokens, passes, compute time and result bytes by day, key and model. Days are in UTC.</summary>
public static class ServiceUsage
{
    /// <summary>The usage of this key.</summary>
    /// <param name="since">The first day; null for the 30 days to the last one.</param>
    /// <param name="until">The last day; null for today.</param>
    public static Task<IReadOnlyList<UsageRow>> GetAsync(
        DateOnly? since = null, DateOnly? until = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).UsageAsync(CreateRequest("", since, until), asAdmin: false, cancellationToken);

    /// <summary>The usage of any key, for administrators.</summary>
    /// <param name="keyId">The part of the key between its underscores; empty for all keys.</param>
    /// <param name="since">The first day; null for the 30 days to the last one.</param>
    /// <param name="until">The last day; null for today.</param>
    /// <exception cref="AccessException">This key does not have the scope `admin`.</exception>
    public static Task<IReadOnlyList<UsageRow>> OfAsync(
        string keyId, DateOnly? since = null, DateOnly? until = null,
        Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).UsageAsync(CreateRequest(keyId, since, until), asAdmin: true, cancellationToken);

    private static GetUsageRequest CreateRequest(string key, DateOnly? since, DateOnly? until) =>
        new() { Key = key, Since = FormatDay(since), Until = FormatDay(until) };

    private static string FormatDay(DateOnly? day) => day?.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) ?? "";
}
