using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Headers;
using Microsoft.Net.Http.Headers;
using Ndif.Server.Hosting;

namespace Ndif.Server.Blobs;

/// <summary>
/// Writes the response to a GET or HEAD request of a blob, whole or one range of it. It reads the bytes directly into the buffers of the
/// response pipe; the file results of ASP.NET Core copy them twice more, in small pieces (benchmark `service.big results`).
/// </summary>
internal static class BlobResponse
{
    private const int MaxReadBytes = 256 << 10;

    public static async Task WriteAsync(HttpContext context, string id, Stream content, TimeSpan writeTimeout)
    {
        HttpResponse response = context.Response;
        RequestHeaders request = context.Request.GetTypedHeaders();
        var tag = new EntityTagHeaderValue($"\"{id}\"");
        response.Headers.CacheControl = "private, max-age=31536000, immutable"; // the bytes of an id never change
        response.Headers.AcceptRanges = "bytes";
        response.GetTypedHeaders().ETag = tag;
        response.ContentType = "application/octet-stream";
        if (request.IfNoneMatch.Any(known => known.Equals(EntityTagHeaderValue.Any) || known.Compare(tag, useStrongComparison: true)))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }
        (long from, long count) = (0, content.Length);
        if (IsRangeApplicable(request, tag) && request.Range?.Ranges is { Count: 1 } ranges) // several ranges: the whole blob is sent
        {
            if (ResolveRange(ranges.First(), content.Length) is not { } part)
            {
                response.StatusCode = StatusCodes.Status416RangeNotSatisfiable;
                response.GetTypedHeaders().ContentRange = new ContentRangeHeaderValue(content.Length);
                return;
            }
            (from, count) = part;
            response.StatusCode = StatusCodes.Status206PartialContent;
            response.GetTypedHeaders().ContentRange = new ContentRangeHeaderValue(from, from + count - 1, content.Length);
        }
        response.ContentLength = count;
        if (HttpMethods.IsGet(context.Request.Method)) await CopyAsync(content, from, count, context, writeTimeout);
    }

    /// <summary>A range applies unless an If-Range header names another entity tag.</summary>
    private static bool IsRangeApplicable(RequestHeaders requestHeaders, EntityTagHeaderValue tag) =>
        requestHeaders.Range?.Unit.Equals("bytes", StringComparison.OrdinalIgnoreCase) == true
        && (requestHeaders.IfRange is not { } condition || condition.EntityTag?.Compare(tag, useStrongComparison: true) == true);

    /// <summary>Resolves a range "from-", "from-to" or "-last". Returns null if it is outside the blob.</summary>
    private static (long From, long Count)? ResolveRange(RangeItemHeaderValue range, long length)
    {
        long from = range.From ?? Math.Max(0, length - range.To!.Value);
        long to = range.From is null ? length - 1 : Math.Min(range.To ?? length - 1, length - 1);
        return from >= length || to < from ? null : (from, to - from + 1);
    }

    private static async Task CopyAsync(Stream content, long from, long count, HttpContext context, TimeSpan writeTimeout)
    {
        PipeWriter body = context.Response.BodyWriter;
        content.Seek(from, SeekOrigin.Begin);
        while (count > 0)
        {
            Memory<byte> buffer = body.GetMemory((int)Math.Min(MaxReadBytes, count));
            int read = await content.ReadAsync(buffer[..(int)Math.Min(buffer.Length, count)], context.RequestAborted);
            if (read == 0) throw new EndOfStreamException();
            body.Advance(read);
            count -= read;
            await context.FlushBodyAsync(writeTimeout);
        }
    }
}
