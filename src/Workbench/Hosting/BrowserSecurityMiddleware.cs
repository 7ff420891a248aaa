using Microsoft.AspNetCore.Http;

namespace Ndif.Workbench.Hosting;

/// <summary>
/// Sets the headers that confine the page to this server, and refuses requests that another site's page has caused. WebSockets are not
/// subject to the same-origin policy, so the origin is compared here.
/// </summary>
internal sealed class BrowserSecurityMiddleware(RequestDelegate next)
{
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
        + "base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

    public Task InvokeAsync(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        if (IsSameOrigin(context.Request)) return next(context);
        context.Response.StatusCode = StatusCodes.Status403Forbidden;
        return Task.CompletedTask;
    }

    private static bool IsSameOrigin(HttpRequest request) =>
        request.Headers.Origin.Count == 0
        || (Uri.TryCreate(request.Headers.Origin, UriKind.Absolute, out Uri? origin)
            && origin is { Scheme: "http" or "https" }
            && origin.Authority.Equals(HostString.FromUriComponent(new Uri($"{origin.Scheme}://{request.Host}")).Value,
                StringComparison.OrdinalIgnoreCase));
}
