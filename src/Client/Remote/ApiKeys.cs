using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif;

/// <summary>The API keys of a service. For administrators, whose keys have the scope `admin`.</summary>
public static class ApiKeys
{
    /// <summary>Creates a key.</summary>
    /// <param name="name">The user or purpose of the key.</param>
    /// <param name="scopes">What the key may do: run, operator, admin; empty for run.</param>
    /// <param name="tier">The tier, which sets its share of service and its limits; empty for the standard tier.</param>
    /// <param name="models">The models that the key may use; empty for all.</param>
    /// <param name="lifetime">The time until it expires; null for never.</param>
    /// <returns>The key. Only this reply contains its secret.</returns>
    /// <exception cref="AccessException">The caller's key does not have the scope.</exception>
    public static Task<CreateKeyReply> CreateAsync(
        string name, IEnumerable<string>? scopes = null, string tier = "", IEnumerable<string>? models = null, TimeSpan? lifetime = null,
        Backend? remote = null, CancellationToken cancellationToken = default)
    {
        var request = new CreateKeyRequest { Name = name, Tier = tier, LifetimeSeconds = lifetime?.TotalSeconds ?? 0 };
        request.Scopes.AddRange(scopes ?? []);
        request.Models.AddRange(models ?? []);
        return RemoteService.For(remote).CreateKeyAsync(request, cancellationToken);
    }

    /// <summary>All keys, without their secrets.</summary>
    /// <exception cref="AccessException">The caller's key does not have the scope.</exception>
    public static Task<IReadOnlyList<KeyInfo>> ListAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).KeysAsync(cancellationToken);

    /// <summary>Revokes a key, which stops working at once.</summary>
    /// <param name="id">The id of the key: the part between its underscores.</param>
    /// <exception cref="AccessException">The caller's key does not have the scope.</exception>
    public static Task<KeyInfo> RevokeAsync(string id, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).RevokeKeyAsync(id, cancellationToken);
}
