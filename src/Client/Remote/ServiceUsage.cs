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
    public static async Task<IReadOnlyList<UsageRow>> GetAsync(
        DateOnly? since = null, DateOnly? until = null, Backend? remote = null, CancellationToken cancellationToken = default) =>
        (await RemoteService.For(remote).UsageAsync(CreateRequest("", since, until), asAdmin: false, cancellationToken)).Rows;

    /// <summary>What this key stores on the service now, and what it may store.</summary>
    public static Task<StorageUse> GetStorageAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        GetStorageAsync("", asAdmin: false, remote, cancellationToken);

    /// <summary>What any key stores on the service now, for administrators.</summary>
    /// <param name="keyId">The part of the key between its underscores; empty for all keys together.</param>
    /// <exception cref="AccessException">This key does not have the scope `admin`.</exception>
    public static Task<StorageUse> GetStorageOfAsync(
        string keyId, Backend? remote = null, CancellationToken cancellationToken = default) =>
        GetStorageAsync(keyId, asAdmin: true, remote, cancellationToken);

    private static async Task<StorageUse> GetStorageAsync(
        string key, bool asAdmin, Backend? remote, CancellationToken cancellationToken)
    {
        DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow);
        GetUsageReply reply = await RemoteService.For(remote).UsageAsync(CreateRequest(key, today, today), asAdmin, cancellationToken);
        return reply.Storage ?? new StorageUse(); // a gateway of an earlier version does not report it
    }

    /// <summary>The usage of any key, for administrators.</summary>
    /// <param name="keyId">The part of the key between its underscores; empty for all keys.</param>
    /// <param name="since">The first day; null for the 30 days to the last one.</param>
    /// <param name="until">The last day; null for today.</param>
    /// <exception cref="AccessException">This key does not have the scope `admin`.</exception>
    public static async Task<IReadOnlyList<UsageRow>> OfAsync(
        string keyId, DateOnly? since = null, DateOnly? until = null,
        Backend? remote = null, CancellationToken cancellationToken = default) =>
        (await RemoteService.For(remote).UsageAsync(CreateRequest(keyId, since, until), asAdmin: true, cancellationToken)).Rows;

    private static GetUsageRequest CreateRequest(string key, DateOnly? since, DateOnly? until) =>
        new() { Key = key, Since = FormatDay(since), Until = FormatDay(until) };

    private static string FormatDay(DateOnly? day) => day?.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) ?? "";
}
