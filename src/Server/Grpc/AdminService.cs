using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>
/// `ndif.v1.Admin`, for operators: every method needs the scope `admin`. Keys are served here. Deploy, Evict, Drain,
/// ListDeadLetters and Requeue are not overridden and answer UNIMPLEMENTED, gRPC's own default, until the service has them.
/// </summary>
[Requires(Scopes.Admin)]
internal sealed class AdminService(KeyService keys, GatewayOptions options, ILogger<AdminService> logger) : Ndif.Protocol.Admin.AdminBase
{
    /// <summary>Makes a key; the reply is the only time that its secret is shown. A lifetime of 0 is one without end.</summary>
    public override async Task<CreateKeyReply> CreateKey(CreateKeyRequest request, ServerCallContext context)
    {
        if (request.Tier.Length > 0 && !options.Tiers.ContainsKey(request.Tier)) throw ServerErrors.UnknownTier(request.Tier, options.Tiers.Keys);
        CreatedKey made = await keys.CreateAsync(
            request.Name, request.Scopes, request.Tier, request.Models, LifetimeOf(request.LifetimeSeconds), context.CancellationToken);
        logger.KeyMade(made.Record.Id, made.Record.Name, By(context));
        return new CreateKeyReply { Key = made.Record.ToInfo(), Secret = made.Key.Reveal() };
    }

    public override async Task<ListKeysReply> ListKeys(ListKeysRequest request, ServerCallContext context) =>
        new() { Keys = { (await keys.ListAsync(context.CancellationToken)).Select(key => key.ToInfo()) } };

    public override async Task<KeyInfo> RevokeKey(RevokeKeyRequest request, ServerCallContext context)
    {
        KeyRecord revoked = await keys.RevokeAsync(request.Id, context.CancellationToken);
        logger.KeyRevoked(revoked.Id, By(context));
        return revoked.ToInfo();
    }

    private static TimeSpan? LifetimeOf(double seconds) => seconds switch
    {
        0 => null,
        > 0 and < 100d * 365 * 24 * 3600 => TimeSpan.FromSeconds(seconds),
        _ => throw ServerErrors.BadLifetime(),
    };

    private static string By(ServerCallContext context) => context.GetHttpContext().Caller().Id;
}
