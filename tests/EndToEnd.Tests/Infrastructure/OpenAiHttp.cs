using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>Sends requests to OpenAI's API of a gateway as plain JSON, for what the OpenAI package does not send.</summary>
internal sealed class OpenAiHttp : IDisposable
{
    private readonly HttpClient _client;

    public OpenAiHttp(Uri gateway, string key)
    {
        _client = new HttpClient { BaseAddress = gateway };
        if (key.Length > 0) _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }

    /// <summary>The answer of a request that succeeds.</summary>
    public async Task<JsonNode> PostAsync(string path, JsonObject body, CancellationToken cancellationToken)
    {
        (HttpStatusCode status, JsonNode answer, _) = await SendAsync(path, body.ToJsonString(), cancellationToken);
        Assert.True(status is HttpStatusCode.OK, $"{status}: {answer}");
        return answer;
    }

    /// <summary>The answer of a request, whether it succeeds or not.</summary>
    public async Task<(HttpStatusCode Status, JsonNode Answer, HttpResponseHeaders Headers)> SendAsync(
        string path, string? body, CancellationToken cancellationToken)
    {
        using HttpResponseMessage response = body is null ? await _client.GetAsync(path, cancellationToken)
            : await _client.PostAsync(path, new StringContent(body, null, "application/json"), cancellationToken);
        return (response.StatusCode, (await response.Content.ReadFromJsonAsync<JsonNode>(cancellationToken))!, response.Headers);
    }

    /// <summary>The error object of a request that fails, with the status.</summary>
    public async Task<(int Status, string? Code, string? Param, string Message)> FailAsync(
        string path, string? body, CancellationToken cancellationToken)
    {
        (HttpStatusCode status, JsonNode answer, _) = await SendAsync(path, body, cancellationToken);
        JsonNode error = answer["error"]!;
        Assert.NotNull(error["type"]);
        return ((int)status, (string?)error["code"], (string?)error["param"], (string)error["message"]!);
    }

    /// <summary>The events of a stream, which ends with [DONE].</summary>
    public async Task<List<JsonNode>> StreamAsync(string path, JsonObject body, CancellationToken cancellationToken)
    {
        body["stream"] = true;
        using HttpResponseMessage response = await _client.PostAsync(path, JsonContent.Create(body), cancellationToken);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        string[] events = (await response.Content.ReadAsStringAsync(cancellationToken))
            .Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, text => Assert.StartsWith("data: ", text, StringComparison.Ordinal));
        Assert.Equal("data: [DONE]", events[^1]);
        return [.. events[..^1].Select(text => JsonNode.Parse(text["data: ".Length..])!)];
    }

    public static string Escape(string text) => JsonSerializer.Serialize(text);

    public void Dispose() => _client.Dispose();
}
