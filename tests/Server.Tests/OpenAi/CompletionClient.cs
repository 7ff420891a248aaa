using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>A client of completions of a model whose tokens are bytes, and the worker that runs them.</summary>
internal sealed class CompletionClient
{
    private readonly TestGateway _gateway;
    private readonly HttpClient _http;

    private CompletionClient(TestGateway gateway, string key, string owner)
    {
        (_gateway, _http, Owner) = (gateway, gateway.CreateHttpClient(key), owner);
    }

    /// <summary>The id of the client's key.</summary>
    public string Owner { get; }

    public static async Task<CompletionClient> CreateAsync(TestGateway gateway)
    {
        ModelDescription model = TestModels.Gpt2;
        model.Files["tokenizer.json"] = ByteString.CopyFrom(ByteTokenizer.CreateFile());
        model.Vocabulary = 256;
        await gateway.Backend.Workers.SetDescriptionAsync(model, TestGateway.Cancel);
        CreatedKey key = await gateway.CreateKeyAsync();
        return new CompletionClient(gateway, key.Key.Reveal(), key.Record.Id);
    }

    /// <summary>Sends a request for a completion. Returns when its headers have come.</summary>
    public Task<HttpResponseMessage> PostAsync(JsonObject request) => PostAsync(_http, request);

    /// <inheritdoc cref="PostAsync(JsonObject)"/>
    /// <param name="http">The client that sends it, instead of one that reads fast.</param>
    public Task<HttpResponseMessage> PostAsync(HttpClient http, JsonObject request)
    {
        request["model"] = TestGateway.Model;
        return http.SendAsync(
            new HttpRequestMessage(HttpMethod.Post, new Uri(_http.BaseAddress!, "v1/completions"))
            {
                Content = JsonContent.Create(request), Headers = { Authorization = _http.DefaultRequestHeaders.Authorization },
            },
            HttpCompletionOption.ResponseHeadersRead, TestGateway.Cancel);
    }

    /// <summary>Leases the job of a completion, as its worker.</summary>
    public async Task<CompletionLease> LeaseAsync() => new(_gateway.Backend, await _gateway.Backend.Jobs.LeaseAsync(
        "worker-1", [TestGateway.Model], TimeSpan.FromMinutes(1), TestGateway.Cancel) ?? throw new TimeoutException());
}

/// <summary>The job of a completion that runs.</summary>
internal sealed class CompletionLease(QueueBackend backend, Lease lease)
{
    /// <summary>The values that the job saves.</summary>
    private readonly uint[] _saves = [.. Program.Parser.ParseFrom(lease.Program.Span).Nodes
        .Select((node, i) => (node, i)).Where(each => each.node.Save is not null).Select(each => (uint)each.i)];

    public Task PublishAsync(Event jobEvent) => backend.Jobs.PublishAsync(lease, jobEvent, TestGateway.Cancel);

    public Task PublishTokenAsync(string text, bool isLast) =>
        PublishAsync(new Event { Token = new NewToken { Id = text[0], Text = text, Last = isLast } });

    /// <summary>Publishes the log probabilities of an echoed prompt with its likely tokens, which are visible characters.</summary>
    /// <param name="length">The number of tokens of the prompt.</param>
    public async Task PublishPromptAsync(int length, int top)
    {
        float[] logprobs = [.. Enumerable.Range(0, (length - 1) * top).Select(i => -1.2345678f - i % 1000 / 999f)];
        long[] ids = [.. Enumerable.Range(0, (length - 1) * top).Select(i => (long)'0' + i % top)];
        await PublishValueAsync(0, TensorData.FromArray(logprobs[..(length - 1)], length - 1, 1));
        await PublishValueAsync(1, TensorData.FromArray(logprobs, length - 1, top));
        await PublishValueAsync(2, TensorData.FromArray(ids, length - 1, top));
    }

    public Task FailAsync(ErrorCode code) =>
        PublishAsync(new Event { State = new StateChanged { State = JobState.Failed, Error = Errors.Create(code, "It failed.") } });

    public Task CompleteAsync() => PublishAsync(new Event { State = new StateChanged { State = JobState.Completed } });

    private Task PublishValueAsync(int save, TensorData value) => PublishAsync(new Event
    {
        Value = new SavedValue
        {
            Node = _saves[save], Name = save.ToString(CultureInfo.InvariantCulture), Data = new Data { Tensor = value.ToProto() },
        },
    });
}
