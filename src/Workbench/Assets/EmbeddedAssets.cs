using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Assets;

/// <summary>Serves the styles and scripts, which are embedded in the assembly.</summary>
internal static class EmbeddedAssets
{
    /// <summary>Maps the endpoints of the assets.</summary>
    public static void Map(IEndpointRouteBuilder endpoints)
    {
        Map(endpoints, "/workbench.css", "text/css", [.. Read("workbench.css"), .. Encoding.UTF8.GetBytes(HeatColors.CreateStyles())]);
        Map(endpoints, "/workbench.js", "text/javascript", Read("workbench.js"));
        Map(endpoints, "/_framework/blazor.web.js", "text/javascript", Read("blazor.web.js"));
    }

    /// <summary>Returns the text of an embedded file.</summary>
    public static string ReadText(string name) => Encoding.UTF8.GetString(Read(name)).TrimStart('\uFEFF');

    private static void Map(IEndpointRouteBuilder endpoints, string path, string type, byte[] content)
    {
        string etag = $"\"{Convert.ToHexStringLower(SHA256.HashData(content))[..16]}\"";
        endpoints.MapGet(path, context =>
        {
            context.Response.Headers.CacheControl = "no-cache";
            context.Response.Headers.ETag = etag;
            if (context.Request.Headers.IfNoneMatch == etag)
            {
                context.Response.StatusCode = StatusCodes.Status304NotModified;
                return Task.CompletedTask;
            }
            context.Response.ContentType = $"{type}; charset=utf-8";
            context.Response.ContentLength = content.Length;
            return context.Response.Body.WriteAsync(content, context.RequestAborted).AsTask();
        });
    }

    private static byte[] Read(string name)
    {
        using Stream stream = typeof(EmbeddedAssets).Assembly.GetManifestResourceStream(name)!;
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
