using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Ndif.Models.Files.Hub;

/// <summary>The requests of the hub's HTTP API that a download needs, with retries and timeouts.</summary>
/// <remarks>huggingface_hub/file_download.py (get_hf_file_metadata, http_get) and utils/_http.py</remarks>
internal sealed partial class HubClient(HubOptions options) : IDisposable
{
    private const int MaxRedirects = 10, MaxResponseBytes = 64 << 20;

    // redirects are followed in this class, because the token must not be sent to another host
    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(10),
        Proxy = Protocol.EnvironmentProxy.Current,
    })
    {
        Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = MaxResponseBytes,
    };

    /// <summary>Whether the hub has responded to any request.</summary>
    public bool HasResponded { get; private set; }

    /// <summary>The commit of a revision and the files in it.</summary>
    /// <exception cref="HubStatusException">The hub refused the request.</exception>
    public Task<HubRevision> RevisionAsync(string id, string revision, CancellationToken cancellationToken) => RetryAsync(async () =>
    {
        using HttpResponseMessage response =
            await GetAsync(Address($"api/models/{id}/revision/{Uri.EscapeDataString(revision)}"), 0, cancellationToken)
            .ConfigureAwait(false);
        byte[] json = await WithTimeoutAsync(response.Content.ReadAsByteArrayAsync, cancellationToken).ConfigureAwait(false);
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            string commit = document.RootElement.GetProperty("sha").GetString() ?? "";
            if (!SafeFileName().IsMatch(commit)) throw new FormatException($"the commit `{commit}` is not a plain name");
            return new HubRevision(commit,
                [.. document.RootElement.GetProperty("siblings").EnumerateArray()
                    .Select(s => s.GetProperty("rfilename").GetString() ?? "")]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw HubErrors.Failed(id, options, $"the answer to {response.RequestMessage?.RequestUri} is not the hub's: {e.Message}",
                "Check HF_ENDPOINT.", e);
        }
    }, cancellationToken);

    /// <summary>
    /// The metadata of a file. It is taken from the response that redirects away from the hub, if one does, because content delivery
    /// networks have ETags of their own.
    /// </summary>
    /// <exception cref="HubStatusException">The hub refused the request.</exception>
    public Task<HubFile> FileAsync(string id, string commit, string name, CancellationToken cancellationToken) => RetryAsync(async () =>
    {
        Uri address = Address($"{id}/resolve/{commit}/{string.Join('/', name.Split('/').Select(Uri.EscapeDataString))}"), current = address;
        string? linkedETag = null;
        long? linkedSize = null;
        for (int hops = 0; ; hops++)
        {
            using HttpResponseMessage response = await SendAsync(HttpMethod.Head, current, 0, cancellationToken).ConfigureAwait(false);
            linkedETag ??= ParseETag(Header(response, "X-Linked-Etag"));
            linkedSize ??= long.TryParse(Header(response, "X-Linked-Size"), out long size) ? size : null;
            if (RedirectTarget(response, current, hops) is { } next && IsHub(next))
            {
                current = next;
                continue;
            }
            bool isRedirectedAway = IsRedirect(response);
            string? etag = linkedETag ?? ParseETag(response.Headers.ETag?.ToString() ?? Header(response, "ETag"));
            if (etag is null || !SafeFileName().IsMatch(etag))
                throw HubErrors.Failed(id, options, $"{current.GetLeftPart(UriPartial.Path)} gives no usable ETag for `{name}`.",
                    "Check HF_ENDPOINT: a proxy between may have dropped it.");
            return new HubFile(name, address, etag, linkedSize ?? (isRedirectedAway ? null : response.Content.Headers.ContentLength));
        }
    }, cancellationToken);

    /// <summary>
    /// Requests the content of a file from a byte offset. The status of the response says whether the server honours the offset (206).
    /// Redirects are followed.
    /// </summary>
    /// <exception cref="HubStatusException">The hub refused the request. Status 416 is returned instead of thrown.</exception>
    public async Task<HttpResponseMessage> GetAsync(Uri address, long from, CancellationToken cancellationToken)
    {
        Uri current = address;
        for (int hops = 0; ; hops++)
        {
            HttpResponseMessage response = await SendAsync(HttpMethod.Get, current, from, cancellationToken).ConfigureAwait(false);
            if (RedirectTarget(response, current, hops) is not { } next) return response;
            response.Dispose();
            current = next;
        }
    }

    /// <summary>
    /// Repeats an operation that fails with a transient error, with exponential backoff. If the hub has never responded, the first
    /// failure is final.
    /// </summary>
    public async Task<T> RetryAsync<T>(Func<Task<T>> attempt, CancellationToken cancellationToken)
    {
        for (int failures = 1; ; failures++)
        {
            Exception failure;
            try { return await attempt().ConfigureAwait(false); }
            catch (Exception e) when (failures < options.Attempts && IsTransient(e)) { failure = e; }
            await DelayBeforeRetryAsync(failures, failure, cancellationToken).ConfigureAwait(false);
        }
    }

    public bool IsTransient(Exception e) => e is HubStatusException { IsTransient: true }
        || (HasResponded && e is TimeoutException or HttpRequestException or (IOException and not DirectoryNotFoundException));

    public Task DelayBeforeRetryAsync(int failures, Exception failure, CancellationToken cancellationToken)
    {
        TimeSpan backoff = options.Backoff * Math.Pow(2, Math.Min(failures, 7) - 1);
        TimeSpan retryAfter = failure is HubStatusException { RetryAfter: { } header } && header < TimeSpan.FromMinutes(2) ? header
            : TimeSpan.Zero;
        return Task.Delay(retryAfter > backoff ? retryAfter : backoff, cancellationToken);
    }

    /// <summary>Limits one step of a transfer to <see cref="HubOptions.Silence"/>.</summary>
    /// <exception cref="TimeoutException">Nothing was received in time.</exception>
    public async Task<T> WithTimeoutAsync<T>(Func<CancellationToken, Task<T>> step, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.Silence);
        try { return await step(limit.Token).ConfigureAwait(false); }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"no answer for {options.Silence.TotalSeconds:0.#} seconds");
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri address, long from, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = new(method, address);
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("ndif-csharp", typeof(HubClient).Assembly.GetName().Version?.ToString(3)));
        // a compressed response has another size and ETag
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        if (from > 0) request.Headers.Range = new RangeHeaderValue(from, null);
        if (options.Token is { } token && IsHub(address)) request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        HttpResponseMessage response =
            await WithTimeoutAsync(t => _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, t), cancellationToken)
            .ConfigureAwait(false);
        HasResponded = true;
        if (response.IsSuccessStatusCode || IsRedirect(response)
            || (from > 0 && response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)) return response;
        using (response)
            throw new HubStatusException(address, response.StatusCode, Header(response, "X-Error-Code")
                ?? "", response.Headers.RetryAfter?.Delta);
    }

    /// <summary>The target of a redirect, or null if the response is not a redirect.</summary>
    private static Uri? RedirectTarget(HttpResponseMessage response, Uri at, int redirects)
    {
        if (!IsRedirect(response)) return null;
        Uri? next = response.Headers.Location is { } location ? new Uri(at, location) : null;
        if (next is null || redirects == MaxRedirects || (next.Scheme != at.Scheme && next.Scheme != Uri.UriSchemeHttps))
        {
            response.Dispose();
            throw new HttpRequestException($"{at.GetLeftPart(UriPartial.Path)} redirects "
                + (next is null ? "to nowhere" : redirects == MaxRedirects ? $"more than {MaxRedirects} times" : $"to {next.Scheme}"));
        }
        return next;
    }

    private static bool IsRedirect(HttpResponseMessage response) =>
        (int)response.StatusCode is 301 or 302 or 303 or 307 or 308;

    private bool IsHub(Uri at) =>
        Uri.Compare(at, options.Endpoint, UriComponents.SchemeAndServer, UriFormat.SafeUnescaped, StringComparison.OrdinalIgnoreCase) == 0;

    private Uri Address(string path) => new($"{options.Endpoint.ToString().TrimEnd('/')}/{path}");

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.FirstOrDefault() : null;

    /// <summary>An ETag without quotes and without the weak prefix.</summary>
    private static string? ParseETag(string? value) => value is null ? null
        : (value.StartsWith("W/", StringComparison.Ordinal) ? value[2..] : value).Trim('"');

    /// <summary>A file name that cannot point outside of its folder.</summary>
    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")]
    private static partial Regex SafeFileName();
}
