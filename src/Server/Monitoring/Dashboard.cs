using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;

namespace Ndif.Server.Monitoring;

/// <summary>Serves the dashboard at `/`: one embedded HTML file. Its content security policy allows no external resources.</summary>
internal static class Dashboard
{
    private static readonly byte[] _page = LoadPage();
    private static readonly string _etag = $"\"{Convert.ToHexStringLower(SHA256.HashData(_page))[..16]}\"";

    public static async Task WriteAsync(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers.CacheControl = "no-cache";
        headers.ETag = _etag;
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.ContentLength = _page.Length;
        await context.Response.Body.WriteAsync(_page, context.RequestAborted);
    }

    private static byte[] LoadPage()
    {
        using Stream page = typeof(Dashboard).Assembly.GetManifestResourceStream("dashboard.html")!;
        var bytes = new byte[page.Length];
        page.ReadExactly(bytes);
        return bytes;
    }
}
