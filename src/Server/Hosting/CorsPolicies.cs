using Microsoft.AspNetCore.Cors.Infrastructure;
using Ndif.Server.Grpc;

namespace Ndif.Server.Hosting;

/// <summary>Which pages of other origins may call. Keys are sent by header, never by cookie, so that no page can borrow one.</summary>
internal static class CorsPolicies
{
    /// <summary>Any page: for what needs no key, and for calls that bring one.</summary>
    public const string AnyOrigin = "anyone";

    public static void Configure(CorsOptions options) => options.AddPolicy(AnyOrigin, policy => policy
        .AllowAnyOrigin().AllowAnyMethod().AllowAnyHeader()
        .WithExposedHeaders("grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding", ErrorWireFormat.Trailer));
}
