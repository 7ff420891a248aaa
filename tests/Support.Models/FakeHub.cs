using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Models.Files.Hub;

namespace Ndif.Tests.Support.Models;

/// <summary>A request to the hub or to its content delivery network.</summary>
public sealed record HubRequest(bool ToHub, string Method, string Path, string? Range, string? Authorization);

/// <summary>
/// An HTTP server with the hub's API, like huggingface.co: it serves small files itself after a relative redirect, and redirects large
/// ones to another host, the content delivery network. Each kind of failure is a switch.
/// </summary>
public sealed class FakeHub : IAsyncDisposable
{
    private readonly WebApplication _hub, _network;
    private int _failures;
    private readonly ConcurrentDictionary<string, byte[]> _large = new(); // by SHA-256
    private readonly ConcurrentDictionary<string, Repository> _repositories = new();

    private FakeHub(WebApplication hub, WebApplication network) => (_hub, _network) = (hub, network);

    public ConcurrentQueue<HubRequest> Requests { get; } = [];

    public Uri Address => new(_hub.Urls.First());

    /// <summary>
    /// For a large file, the bytes to send before the connection breaks, given (content, first byte, number of earlier requests); null
    /// to send all.
    /// </summary>
    public Func<byte[], long, int, long?> BreakAfter { get; set; } = (_, _, _) => null;

    /// <summary>Awaited before a large file is sent.</summary>
    public Func<Task> Hold { get; set; } = () => Task.CompletedTask;

    public bool Corrupts { get; set; }

    public bool KnowsRanges { get; set; } = true;

    /// <summary>The number of requests to the hub that are answered with 503.</summary>
    public int Failures { get => _failures; set => _failures = value; }

    /// <summary>Replaces a small file's ETag.</summary>
    public string? Tag { get; set; }

    public bool RedirectsForever { get; set; }

    public sealed record Repository(string Commit, Dictionary<string, byte[]> Files, string? Token = null, string Error = "GatedRepo");

    public static async Task<FakeHub> StartAsync()
    {
        WebApplication hub = Build(), network = Build();
        FakeHub fake = new(hub, network);
        hub.Run(fake.AnswerAsync);
        network.Run(fake.SendAsync);
        await network.StartAsync();
        await hub.StartAsync();
        return fake;

        static WebApplication Build()
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            return builder.Build();
        }
    }

    /// <param name="commit">The commit of "main" from now on; earlier commits remain.</param>
    /// <param name="token">The token that gives access; null for everyone.</param>
    /// <param name="error">The X-Error-Code for everyone else.</param>
    public Repository Add(string id, string commit, Dictionary<string, byte[]> files, string? token = null, string error = "GatedRepo")
    {
        Repository repository = new(commit, files, token, error);
        _repositories[$"{id}@{commit}"] = _repositories[$"{id}@main"] = repository;
        foreach (byte[] content in files.Values.Where(IsLarge)) _large[Convert.ToHexStringLower(SHA256.HashData(content))] = content;
        return repository;
    }

    internal HubOptions Options(string cache) => new()
    {
        Endpoint = Address, Cache = cache, Backoff = TimeSpan.FromMilliseconds(1), Attempts = 4, Silence = TimeSpan.FromSeconds(20),
    };

    public IEnumerable<HubRequest> Sent(bool large) => Requests.Where(r => r.Method == "GET" && r.ToHub == !large);

    /// <summary>The files that huggingface.co stores in Git LFS: weights.</summary>
    public static bool IsLarge(byte[] content) => content.Length >= 1000;

    public static string GitHash(byte[] content)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
        hash.AppendData(Encoding.ASCII.GetBytes($"blob {content.Length}\0"));
        hash.AppendData(content);
        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        await _network.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        HttpResponse answer = context.Response;
        string path = context.Request.Path.Value!;
        Note(context, toHub: true);
        if (Interlocked.Decrement(ref _failures) >= 0)
        {
            answer.StatusCode = 503;
            return;
        }
        if (RedirectsForever)
        {
            Redirect(answer, path);
            return;
        }
        string[] parts = path.Trim('/').Split('/');
        bool cached = path.StartsWith("/api/resolve-cache/models/", StringComparison.Ordinal);
        (string id, string revision, string file) = parts switch
        {
            ["api", "models", var org, var name, "revision", .. var rest] =>
                ($"{org}/{name}", Uri.UnescapeDataString(string.Join('/', rest)), ""),
            ["api", "resolve-cache", "models", var org, var name, var commit, .. var rest] =>
                ($"{org}/{name}", commit, string.Join('/', rest)),
            [var org, var name, "resolve", var commit, .. var rest] => ($"{org}/{name}", commit, string.Join('/', rest)),
            _ => ("", "", ""),
        };
        if (!_repositories.Keys.Any(k => k.StartsWith(id + "@", StringComparison.Ordinal)))
        {
            Refuse(answer, 401, "RepoNotFound"); // as the hub answers callers without a token, to hide which repositories are private
            return;
        }
        if (!_repositories.TryGetValue($"{id}@{revision}", out Repository? repository))
        {
            Refuse(answer, 404, "RevisionNotFound");
            return;
        }
        if (repository.Token is { } token && context.Request.Headers.Authorization != $"Bearer {token}"
            && (file.Length > 0 || repository.Error.Length == 0))
        {
            Refuse(answer, context.Request.Headers.Authorization.Count > 0 ? 403 : 401, repository.Error);
            return;
        }
        answer.Headers["X-Repo-Commit"] = repository.Commit;
        if (file.Length == 0)
        {
            await answer.WriteAsync(
                JsonSerializer.Serialize(
                    new { id, sha = repository.Commit, siblings = repository.Files.Keys.Select(f => new { rfilename = f }) }));
            return;
        }
        if (!repository.Files.TryGetValue(file, out byte[]? content))
        {
            Refuse(answer, 404, "EntryNotFound");
            return;
        }
        if (IsLarge(content))
        {
            string hash = Convert.ToHexStringLower(SHA256.HashData(content));
            answer.Headers["X-Linked-Etag"] = $"\"{hash}\"";
            answer.Headers["X-Linked-Size"] = $"{content.Length}";
            answer.Headers.ETag = "\"of-the-redirect\"";
            answer.StatusCode = 302;
            answer.Headers.Location = $"{_network.Urls.First()}/{hash}?signature=1";
        }
        else if (!cached) Redirect(answer, $"/api/resolve-cache/models/{id}/{repository.Commit}/{file}");
        else
        {
            answer.Headers.ETag = $"\"{Tag ?? GitHash(content)}\"";
            answer.ContentLength = content.Length;
            if (context.Request.Method == "GET") await answer.Body.WriteAsync(content);
        }
    }

    /// <summary>The content delivery network, which serves large files by hash.</summary>
    private async Task SendAsync(HttpContext context)
    {
        string name = context.Request.Path.Value!.Trim('/');
        int before = Requests.Count(r => r.Path == context.Request.Path && r.Method == "GET");
        Note(context, toHub: false);
        byte[] content = _large[name];
        long from = 0;
        if (KnowsRanges && context.Request.Headers.Range.ToString() is { Length: > 0 } range)
        {
            from = long.Parse(range["bytes=".Length..^1], System.Globalization.CultureInfo.InvariantCulture);
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes {from}-{content.Length - 1}/{content.Length}";
        }
        byte[] sent = content[(int)from..];
        if (Corrupts) sent[^1] ^= 1;
        await Hold();
        context.Response.ContentLength = sent.Length;
        if (BreakAfter(content, from, before) is { } count)
        {
            await context.Response.Body.WriteAsync(sent.AsMemory(0, (int)Math.Min(count, sent.Length)));
            await context.Response.Body.FlushAsync(); // fewer bytes than announced: the server closes the connection
        }
        else await context.Response.Body.WriteAsync(sent);
    }

    private void Note(HttpContext context, bool toHub) => Requests.Enqueue(new(toHub, context.Request.Method, context.Request.Path.Value!,
        context.Request.Headers.Range.FirstOrDefault(), context.Request.Headers.Authorization.FirstOrDefault()));

    private static void Redirect(HttpResponse answer, string path)
    {
        answer.StatusCode = 307;
        answer.Headers.Location = path;
    }

    private static void Refuse(HttpResponse answer, int status, string error)
    {
        answer.StatusCode = status;
        if (error.Length > 0) answer.Headers["X-Error-Code"] = error;
    }
}
