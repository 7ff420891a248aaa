using Microsoft.AspNetCore.Cors.Infrastructure;

namespace Ndif.Server;

/// <summary>Which pages of other origins may call. Keys are sent by header, never by cookie, so that no page can borrow one.</summary>
internal static class Cors
{
    /// <summary>Any page: for what needs no key, and for calls that bring one.</summary>
    public const string Anyone = "anyone";

    public static void Configure(CorsOptions options) => options.AddPolicy(Anyone, policy => policy
        .AllowAnyOrigin().AllowAnyMethod().AllowAnyHeader()
        .WithExposedHeaders("grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding", ErrorWire.Trailer));
}
