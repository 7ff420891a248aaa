using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Xml.Linq;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Ndif.Tests.Support;

/// <summary>
/// A fake S3 server over real HTTP with the features that the blob store uses: it checks the signature (<see cref="SignatureV4"/>) and the
/// body of each request, and has objects with ranges, ordered and paged lists, copies, and uploads in parts of at least 5 MiB. It can
/// simulate the failures of S3.
/// </summary>
public sealed class FakeS3(TimeProvider time) : IAsyncDisposable
{
    public const string Bucket = "results", Region = "eu-test-1", AccessKey = "AKIDEXAMPLE",
        Secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    private const int PageSize = 7, MinPartBytes = 5 << 20;

    private readonly ConcurrentDictionary<string, Stored> _objects = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Upload> _uploads = new(StringComparer.Ordinal);
    private WebApplication? _app;
    private int _requests, _failureInterval, _downloads, _faults;
    private Fault _fault;

    public enum Fault { SlowDown, Internal, Cut, CutAfterwards }

    public Uri Address { get; private set; } = new("http://127.0.0.1:0");

    public IEnumerable<string> Keys => _objects.Keys.Order(StringComparer.Ordinal);

    public int OpenUploads => _uploads.Count;

    public int Downloads => Volatile.Read(ref _downloads);

    public int Faults => Volatile.Read(ref _faults);

    /// <summary>Closes the connection after this number of bytes of every download; null for never.</summary>
    public long? CutDownloadsAfter { get; set; }

    /// <summary>Stores only the lengths of objects, and returns zeros.</summary>
    public bool StoresLengthsOnly { get; set; }

    /// <summary>Makes every nth request fail; 0 for none.</summary>
    public void FailEvery(int nth, Fault fault) => (_failureInterval, _fault) = (nth, fault);

    public async Task StartAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http1);
            kestrel.Limits.MaxRequestBodySize = null;
        });
        _app = builder.Build();
        _app.Run(HandleAsync);
        await _app.StartAsync();
        Address = new Uri(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null) await _app.DisposeAsync();
    }

    private async Task HandleAsync(HttpContext context)
    {
        int number = Interlocked.Increment(ref _requests);
        bool fails = _failureInterval > 0 && number % _failureInterval == 0;
        if (fails) Interlocked.Increment(ref _faults);
        if (fails && _fault == Fault.Cut)
        {
            context.Abort();
            return;
        }
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        byte[] bytes = body.ToArray();
        if (fails && _fault is (Fault.SlowDown or Fault.Internal))
        {
            await ErrorAsync(context, _fault == Fault.SlowDown ? 503 : 500, _fault == Fault.SlowDown ? "SlowDown" : "InternalError");
            return;
        }
        if (SignatureV4.GetErrorCode(context.Request, bytes, AccessKey, Secret, Region) is { } refusal)
        {
            await ErrorAsync(context, 403, refusal);
            return;
        }
        string[] path = context.Request.Path.Value!.TrimStart('/').Split('/', 2);
        if (path[0] != Bucket)
        {
            await ErrorAsync(context, 404, "NoSuchBucket");
            return;
        }
        if (fails) // the request is carried out, and its response is lost
        {
            await DispatchAsync(WithoutResponse(context), path.Length > 1 ? path[1] : "", bytes);
            context.Abort();
            return;
        }
        await DispatchAsync(context, path.Length > 1 ? path[1] : "", bytes);
    }

    private Task DispatchAsync(HttpContext context, string key, byte[] body)
    {
        IQueryCollection query = context.Request.Query;
        return (context.Request.Method, key) switch
        {
            ("GET", "") when query.ContainsKey("uploads") => ListUploadsAsync(context, query["prefix"].ToString()),
            ("GET", "") when query["list-type"] == "2" => ListAsync(context, query),
            ("GET", _) => GetAsync(context, key),
            ("HEAD", _) => HeadAsync(context, key),
            ("PUT", _) when query.ContainsKey("partNumber") => PutPartAsync(context, key, query, body),
            ("PUT", _) => PutAsync(context, key, body),
            ("POST", _) when query.ContainsKey("uploads") => BeginUploadAsync(context, key),
            ("POST", _) when query.ContainsKey("uploadId") => CompleteAsync(context, key, query["uploadId"].ToString(), body),
            ("DELETE", _) when query.ContainsKey("uploadId") => AbortAsync(context, key, query["uploadId"].ToString()),
            ("DELETE", _) => DeleteAsync(context, key),
            _ => ErrorAsync(context, 501, "NotImplemented"),
        };
    }

    private async Task GetAsync(HttpContext context, string key)
    {
        if (!_objects.TryGetValue(key, out Stored? stored))
        {
            await ErrorAsync(context, 404, "NoSuchKey");
            return;
        }
        Interlocked.Increment(ref _downloads);
        (long from, long to) = (0, stored.Length - 1);
        string range = context.Request.Headers.Range.ToString();
        if (range.Length > 0)
        {
            string[] ends = range["bytes=".Length..].Split('-');
            (from, to) =
                (long.Parse(ends[0], CultureInfo.InvariantCulture),
                    Math.Min(to, ends[1].Length > 0 ? long.Parse(ends[1], CultureInfo.InvariantCulture) : to));
            if (from > to)
            {
                await ErrorAsync(context, 416, "InvalidRange");
                return;
            }
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes {from}-{to}/{stored.Length}";
        }
        Describe(context, stored, to - from + 1);
        if (stored.Bytes is not { } bytes)
        {
            byte[] zeros = new byte[64 << 10];
            for (long left = to - from + 1; left > 0; left -= zeros.Length)
                await context.Response.Body.WriteAsync(zeros.AsMemory(0, (int)Math.Min(left, zeros.Length)), context.RequestAborted);
            return;
        }
        if (CutDownloadsAfter is { } most && to - from + 1 > most)
        {
            await context.Response.Body.WriteAsync(bytes.AsMemory((int)from, (int)most), context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
            context.Abort();
            return;
        }
        await context.Response.Body.WriteAsync(bytes.AsMemory((int)from, (int)(to - from + 1)), context.RequestAborted);
    }

    private Task HeadAsync(HttpContext context, string key)
    {
        if (_objects.TryGetValue(key, out Stored? stored)) Describe(context, stored, stored.Length);
        else context.Response.StatusCode = 404;
        return Task.CompletedTask;
    }

    private async Task PutAsync(HttpContext context, string key, byte[] body)
    {
        if (context.Request.Headers["x-amz-copy-source"].ToString() is { Length: > 0 } source)
        {
            if (Source(source) is not { } copied) await ErrorAsync(context, 404, "NoSuchKey");
            else
            {
                _objects[key] = copied with { Time = time.GetUtcNow() };
                await XmlAsync(context,
                    new XElement("CopyObjectResult", new XElement("ETag", copied.ETag),
                        new XElement("LastModified", Text(time.GetUtcNow()))));
            }
            return;
        }
        _objects[key] = Store(body);
        context.Response.Headers.ETag = _objects[key].ETag;
    }

    private Task DeleteAsync(HttpContext context, string key)
    {
        _objects.TryRemove(key, out _);
        context.Response.StatusCode = 204;
        return Task.CompletedTask;
    }

    private Task BeginUploadAsync(HttpContext context, string key)
    {
        string id = Guid.NewGuid().ToString("n");
        _uploads[id] = new Upload(key, time.GetUtcNow());
        return XmlAsync(context,
            new XElement("InitiateMultipartUploadResult", new XElement("Bucket", Bucket), new XElement("Key", key),
                new XElement("UploadId", id)));
    }

    private async Task PutPartAsync(HttpContext context, string key, IQueryCollection query, byte[] body)
    {
        if (!_uploads.TryGetValue(query["uploadId"].ToString(), out Upload? upload) || upload.Key != key)
        {
            await ErrorAsync(context, 404, "NoSuchUpload");
            return;
        }
        int number = int.Parse(query["partNumber"].ToString(), CultureInfo.InvariantCulture);
        Stored part = Store(body);
        if (context.Request.Headers["x-amz-copy-source"].ToString() is { Length: > 0 } source)
        {
            string[] ends = context.Request.Headers["x-amz-copy-source-range"].ToString()["bytes=".Length..].Split('-');
            (int from, int to) = (int.Parse(ends[0], CultureInfo.InvariantCulture), int.Parse(ends[1], CultureInfo.InvariantCulture));
            part = Store(Source(source)!.Bytes![from..(to + 1)]);
        }
        upload.Parts[number] = part;
        context.Response.Headers.ETag = part.ETag;
        if (context.Request.Headers.ContainsKey("x-amz-copy-source"))
            await XmlAsync(context, new XElement("CopyPartResult", new XElement("ETag", part.ETag)));
    }

    private async Task CompleteAsync(HttpContext context, string key, string id, byte[] body)
    {
        if (!_uploads.TryGetValue(id, out Upload? upload) || upload.Key != key)
        {
            // as in S3, completing an upload again gives the same response while the object exists
            if (_objects.TryGetValue(key, out Stored? done))
                await XmlAsync(context,
                    new XElement("CompleteMultipartUploadResult", new XElement("Key", key), new XElement("ETag", done.ETag)));
            else await ErrorAsync(context, 404, "NoSuchUpload");
            return;
        }
        using var sent = new MemoryStream(body);
        (int Number, string ETag)[] named =
            [.. XDocument.Load(sent).Root!.Elements().Where(e => e.Name.LocalName == "Part").Select(part => (
            (int)part.Elements().Single(e => e.Name.LocalName == "PartNumber"),
            (string)part.Elements().Single(e => e.Name.LocalName == "ETag")))];
        if (named.Length == 0
            || named.Any(part => !upload.Parts.TryGetValue(part.Number, out Stored? have) || have.ETag.Trim('"') != part.ETag.Trim('"')))
        {
            await ErrorAsync(context, 400, "InvalidPart");
            return;
        }
        if (named[..^1].Any(part => upload.Parts[part.Number].Length < MinPartBytes))
        {
            await ErrorAsync(context, 400, "EntityTooSmall");
            return;
        }
        Stored[] parts = [.. named.OrderBy(part => part.Number).Select(part => upload.Parts[part.Number])];
        _objects[key] = parts[0].Bytes is null ? parts[0] with { Length = parts.Sum(part => part.Length), Time = time.GetUtcNow() }
            : Store([.. parts.SelectMany(part => part.Bytes!)]);
        _uploads.TryRemove(id, out _);
        await XmlAsync(context,
            new XElement("CompleteMultipartUploadResult", new XElement("Key", key), new XElement("ETag", _objects[key].ETag)));
    }

    private Task AbortAsync(HttpContext context, string key, string id)
    {
        context.Response.StatusCode = _uploads.TryGetValue(id, out Upload? upload) && upload.Key == key && _uploads.TryRemove(id, out _)
            ? 204 : 404;
        return Task.CompletedTask;
    }

    private Task ListAsync(HttpContext context, IQueryCollection query)
    {
        string prefix = query["prefix"].ToString(), after = query["continuation-token"].ToString();
        int most =
            Math.Min(PageSize, query.ContainsKey("max-keys") ? int.Parse(query["max-keys"].ToString(), CultureInfo.InvariantCulture)
                : PageSize);
        KeyValuePair<string, Stored>[] rest =
            [.. _objects.Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal) && string.CompareOrdinal(o.Key, after) > 0)
                .OrderBy(o => o.Key, StringComparer.Ordinal)];
        KeyValuePair<string, Stored>[] page = rest[..Math.Min(most, rest.Length)];
        return XmlAsync(context, new XElement("ListBucketResult",
            new XElement("Name", Bucket), new XElement("Prefix", prefix), new XElement("KeyCount", page.Length),
            new XElement("IsTruncated", rest.Length > page.Length ? "true" : "false"),
            rest.Length > page.Length ? new XElement("NextContinuationToken", page[^1].Key) : null,
            page.Select(o =>
                new XElement("Contents", new XElement("Key", o.Key), new XElement("LastModified", Text(o.Value.Time)),
                    new XElement("ETag", o.Value.ETag), new XElement("Size", o.Value.Length)))));
    }

    private Task ListUploadsAsync(HttpContext context, string prefix) =>
        XmlAsync(context, new XElement("ListMultipartUploadsResult", new XElement("IsTruncated", "false"),
        _uploads.Where(u => u.Value.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(u => new XElement("Upload",
            new XElement("Key", u.Value.Key), new XElement("UploadId", u.Key), new XElement("Initiated", Text(u.Value.Begun))))));

    private Stored? Source(string header) =>
        _objects.GetValueOrDefault(Uri.UnescapeDataString(header).TrimStart('/')[(Bucket.Length + 1)..]);

#pragma warning disable CA5351 // an ETag is an MD5
    private Stored Store(byte[] bytes) =>
        new(StoresLengthsOnly && bytes.Length > 0 ? null : bytes, bytes.Length, $"\"{Convert.ToHexStringLower(MD5.HashData(bytes))}\"",
            time.GetUtcNow());
#pragma warning restore CA5351

    private static void Describe(HttpContext context, Stored stored, long length)
    {
        context.Response.ContentLength = length;
        context.Response.Headers.ETag = stored.ETag;
        context.Response.Headers.LastModified = stored.Time.ToString("R", CultureInfo.InvariantCulture);
        context.Response.Headers.AcceptRanges = "bytes";
    }

    private static string Text(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);

    private static Task ErrorAsync(HttpContext context, int status, string code)
    {
        context.Response.StatusCode = status;
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask
            : XmlAsync(context, new XElement("Error", new XElement("Code", code), new XElement("Message", code)));
    }

    private static Task XmlAsync(HttpContext context, XElement root)
    {
        context.Response.ContentType = "application/xml";
        return context.Response.WriteAsync(root.ToString(), context.RequestAborted);
    }

    private sealed record Stored(byte[]? Bytes, long Length, string ETag, DateTimeOffset Time);

    private sealed record Upload(string Key, DateTimeOffset Begun)
    {
        public ConcurrentDictionary<int, Stored> Parts { get; } = new();
    }

    /// <summary>The same request with a response that is discarded.</summary>
    private static DefaultHttpContext WithoutResponse(HttpContext context)
    {
        var copy = new DefaultHttpContext();
        copy.Request.Method = context.Request.Method;
        copy.Request.QueryString = context.Request.QueryString;
        foreach (var header in context.Request.Headers) copy.Request.Headers[header.Key] = header.Value;
        return copy; // the body of its response is Stream.Null
    }
}
