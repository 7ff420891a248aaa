using Microsoft.AspNetCore.Http;

namespace Ndif.Server.Keys;

/// <summary>Returns the caller that <see cref="ApiKeyMiddleware"/> has authenticated.</summary>
internal static class HttpContextCallerExtensions
{
    public static Caller GetCaller(this HttpContext context) =>
        context.Features.Get<Caller>() ?? throw new InvalidOperationException("The request was not authenticated by ApiKeyMiddleware.");
}
