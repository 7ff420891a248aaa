using Microsoft.AspNetCore.Cors.Infrastructure;
using Ndif.Server.Grpc;

namespace Ndif.Server.Hosting;

/// <summary>The CORS policies. API keys are sent in a header, not in a cookie, so a web page cannot use the key of its visitor.</summary>
internal static class CorsPolicies
{
    /// <summary>Allows all origins: for endpoints without a key, and for calls that send one.</summary>
    public const string AnyOrigin = "anyone";

    public static void Configure(CorsOptions options) => options.AddPolicy(AnyOrigin, policy => policy
        .AllowAnyOrigin().AllowAnyMethod().AllowAnyHeader()
        .WithExposedHeaders("grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding", ErrorWireFormat.Trailer));
}
