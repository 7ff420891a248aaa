using System.Net;
using System.Text.Json.Nodes;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>Requests of OpenAI's API that are refused: the status, and the error object in OpenAI's format.</summary>
public sealed class OpenAiErrorTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Model = Experiments.Model;

    [Fact]
    public async Task AMissingOrWrongKey_Is401_AndAKeyForAnotherModel403()
    {
        string body = $$"""{"model": "{{Model}}", "prompt": "The"}""";
        foreach (string key in (string[])["", "sk-nonsense", Cluster.Key[..^43] + new string('A', 43)])
        {
            using var api = new OpenAiHttp(Cluster.Http, key);
            foreach (string path in (string[])["/v1/completions", "/v1/chat/completions"])
                Assert.Equal((401, "invalid_api_key"), Two(await api.FailAsync(path, body, Cancel)));
            Assert.Equal((401, "invalid_api_key"), Two(await api.FailAsync("/v1/models", null, Cancel)));
        }
        using var narrow = new OpenAiHttp(Cluster.Http, await Cluster.CreateKeyAsync("narrow", "--model", "openai-community/gpt2"));
        Assert.Equal((403, "permission_denied"), Two(await narrow.FailAsync("/v1/completions", body, Cancel)));
        Assert.Equal("[]", (await narrow.SendAsync("/v1/models", null, Cancel)).Answer["data"]!.ToJsonString());
    }

    [Fact]
    public async Task APromptLongerThanAnyContext_IsRefused_BeforeItIsEncoded()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        JsonObject request = new() { ["model"] = Model, ["prompt"] = new string('x', 1_000_000) };
        (int status, string? code, string? param, string message) = await api.FailAsync("/v1/completions", request.ToJsonString(), Cancel);
        Assert.Equal((400, "context_length_exceeded", "prompt"), (status, code, param));
        Assert.Contains("1000000 characters", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUnknownPathOrMethod_IsAnErrorObject()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        Assert.Equal((404, "unknown_url"), Two(await api.FailAsync("/v1/embeddings", "{}", Cancel)));
        Assert.Equal((404, "unknown_url"), Two(await api.FailAsync("/v1/completions", null, Cancel))); // GET
    }

    [Theory]
    [InlineData("", 400, null)]
    [InlineData("{", 400, null)]
    [InlineData("[]", 400, null)]
    [InlineData("""{"model": "X", "model": "Y"}""", 400, null)]
    [InlineData("""{"prompt": "The"}""", 400, "model")]
    [InlineData("""{"model": "M"}""", 400, "prompt")]
    [InlineData("""{"model": "gpt-5", "prompt": "The"}""", 404, "model")]
    [InlineData("""{"model": 7, "prompt": "The"}""", 400, "model")]
    [InlineData("""{"model": "M", "prompt": {}}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": []}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": [1, "a"]}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": [99999]}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": "\ud800"}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": "The", "temperature": 3}""", 400, "temperature")]
    [InlineData("""{"model": "M", "prompt": "The", "temperature": "hot"}""", 400, "temperature")]
    [InlineData("""{"model": "M", "prompt": "The", "top_p": -1}""", 400, "top_p")]
    [InlineData("""{"model": "M", "prompt": "The", "n": 0}""", 400, "n")]
    [InlineData("""{"model": "M", "prompt": "The", "n": 1.5}""", 400, "n")]
    [InlineData("""{"model": "M", "prompt": ["The", "A"], "n": 100}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": "The", "max_tokens": 1000}""", 400, "prompt")]
    [InlineData("""{"model": "M", "prompt": "The", "max_tokens": 0}""", 400, "max_tokens")]
    [InlineData("""{"model": "M", "prompt": "The", "stop": ["a", "b", "c", "d", "e"]}""", 400, "stop")]
    [InlineData("""{"model": "M", "prompt": "The", "stop": [""]}""", 400, "stop")]
    [InlineData("""{"model": "M", "prompt": "The", "presence_penalty": 0.5}""", 400, "presence_penalty")]
    [InlineData("""{"model": "M", "prompt": "The", "frequency_penalty": -1}""", 400, "frequency_penalty")]
    [InlineData("""{"model": "M", "prompt": "The", "logit_bias": {"a": 1}}""", 400, "logit_bias")]
    [InlineData("""{"model": "M", "prompt": "The", "best_of": 3}""", 400, "best_of")]
    [InlineData("""{"model": "M", "prompt": "The", "suffix": "!"}""", 400, "suffix")]
    [InlineData("""{"model": "M", "prompt": "The", "stream_options": {}}""", 400, "stream_options")]
    [InlineData("""{"model": "M", "prompt": "The", "logprobs": 100}""", 400, "logprobs")]
    [InlineData("""{"model": "M", "prompt": "The", "\ud800": 1}""", 400, null)]
    [InlineData("""{"model": "M", "prompt": "The", "logit_bias": {"\udc00": 1}}""", 400, null)]
    [InlineData("""{"model": "M", "prompt": "The", "logit_bias": {"1": 1, "01": 1}}""", 400, "logit_bias")]
    [InlineData("""{"model": "M", "prompt": "The", "tempreature": 1}""", 400, "tempreature")]
    public async Task ACompletionThatIsNotValid_IsRefused_WithItsField(string body, int status, string? param)
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        (int Status, string? Code, string? Param, string Message) error =
            await api.FailAsync("/v1/completions", body.Replace("\"M\"", OpenAiHttp.Escape(Model), StringComparison.Ordinal), Cancel);
        Assert.Equal((status, param), (error.Status, error.Param));
        Assert.DoesNotContain("   at ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"model": "M", "messages": [{"role": "user", "content": "Hello"}]}""", "model", "no_chat_template")]
    [InlineData("""{"model": "M", "messages": []}""", "messages", "invalid_value")]
    [InlineData("""{"model": "M", "messages": [{"role": "user"}]}""", "messages[0].content", "missing_required_parameter")]
    [InlineData("""{"model": "M", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}""",
        "messages[0].content", "unsupported_parameter")]
    [InlineData("""{"model": "M", "messages": [{"role": "user", "content": "a"}], "tools": []}""", "tools", "unsupported_parameter")]
    [InlineData("""{"model": "M", "messages": [{"role": "user", "content": "a"}], "top_logprobs": 2}""", "top_logprobs", "invalid_value")]
    [InlineData("""{"model": "M", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}""",
        "response_format", "unsupported_parameter")]
    public async Task AChatThatIsNotValid_IsRefused_WithItsField(string body, string param, string code)
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        (int Status, string? Code, string? Param, string Message) error =
            await api.FailAsync("/v1/chat/completions", body.Replace("\"M\"", OpenAiHttp.Escape(Model), StringComparison.Ordinal), Cancel);
        Assert.Equal((400, param, code), (error.Status, error.Param, error.Code));
    }

    [Fact]
    public async Task ALargeOrDeeplyNestedBody_IsRefused()
    {
        using var api = new OpenAiHttp(Cluster.Http, await Cluster.CreateKeyAsync("large"));
        Assert.Equal((413, "request_too_large"), Two(await api.FailAsync(
            "/v1/completions", $$"""{"model": "{{Model}}", "prompt": "{{new string('a', 5 << 20)}}"}""", Cancel)));
        Assert.Equal((400, "invalid_json"), Two(await api.FailAsync(
            "/v1/completions", new string('[', 100_000) + new string(']', 100_000), Cancel)));
    }

    [Fact]
    public async Task ARateLimitAndAnInFlightLimit_Are429_WithRetryAfter()
    {
        string[] tiers = ["--set", "Gateway:Tiers:slow:JobsPerMinute=2", "--set", "Gateway:Tiers:short:Tokens=20"];
        GatewayProcess own = await Cluster.StartGatewayProcessAsync(0, 0, tiers);
        await using ChildProcess stopped = own.Process;
        using var api = new OpenAiHttp(own.Http, await Cluster.CreateKeyAsync("slow", ["--tier", "slow", .. tiers]));
        JsonObject request = new() { ["model"] = Model, ["prompt"] = "The", ["max_tokens"] = 2 };
        for (int i = 0; i < 2; i++) await api.PostAsync("/v1/completions", request, Cancel);
        (HttpStatusCode status, JsonNode answer, System.Net.Http.Headers.HttpResponseHeaders headers) =
            await api.SendAsync("/v1/completions", request.ToJsonString(), Cancel);
        Assert.Equal((HttpStatusCode.TooManyRequests, "rate_limit_exceeded"), (status, (string?)answer["error"]!["code"]));
        Assert.True(headers.RetryAfter?.Delta is { TotalSeconds: >= 1 and <= 60 }, $"{headers.RetryAfter}");

        using var brief = new OpenAiHttp(own.Http, await Cluster.CreateKeyAsync("short", ["--tier", "short", .. tiers]));
        request["max_tokens"] = 100;
        Assert.Equal((400, "limit_exceeded"), Two(await brief.FailAsync("/v1/completions", request.ToJsonString(), Cancel)));
    }

    private static (int, string?) Two((int Status, string? Code, string?, string) error) => (error.Status, error.Code);
}
