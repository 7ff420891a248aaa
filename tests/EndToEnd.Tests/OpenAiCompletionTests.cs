using System.Globalization;
using System.Text.Json.Nodes;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>/v1/completions and /v1/models on a service of separate processes.</summary>
public sealed class OpenAiCompletionTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Path = "/v1/completions";
    private const string Tower = "The Eiffel Tower is in";
    private const string Model = Experiments.Model;

    private static readonly LanguageModel _local = new(Model, remote: Backend.Local);

    [Fact]
    public async Task AGreedyCompletion_IsThatOfGenerate_WholeAndStreamed_AndItsJobIsListedWithItsUsage()
    {
        string key = await Cluster.CreateKeyAsync("openai");
        using var api = new OpenAiHttp(Cluster.Http, key);
        string expected = await GenerateAsync(Tower, 5);

        JsonNode whole = await api.PostAsync(Path, Greedy(Tower, 5), Cancel);
        Assert.Equal(expected, (string?)whole["choices"]![0]!["text"]);
        Assert.Equal("length", (string?)whole["choices"]![0]!["finish_reason"]);
        Assert.Equal((Model, "text_completion"), ((string?)whole["model"], (string?)whole["object"]));
        int prompt = _local.Tokenizer.Encode(Tower).Count;
        Assert.Equal((prompt, 5, prompt + 5), ReadUsage(whole));

        JsonObject request = Greedy(Tower, 5);
        request["stream_options"] = new JsonObject { ["include_usage"] = true };
        List<JsonNode> events = await api.StreamAsync(Path, request, Cancel);
        Assert.Equal(5 + 1, events.Count); // the last one has the usage
        Assert.Equal(expected, string.Concat(
            events.SelectMany(chunk => chunk["choices"]!.AsArray()).Select(choice => (string?)choice!["text"])));
        Assert.Equal("length", (string?)events[^2]["choices"]![0]!["finish_reason"]);
        Assert.Equal((prompt, 5, prompt + 5), ReadUsage(events[^1]));
        Assert.Single(events.Select(chunk => (string?)chunk["id"]).Distinct());

        Backend there = Backend.At(Cluster.Grpc.ToString(), key);
        IReadOnlyList<JobInfo> jobs = await Job.ListAsync(remote: there, cancellationToken: Cancel);
        Assert.Equal([$"{events[0]["id"]}", $"{whole["id"]}"], jobs.Select(job => $"cmpl-{job.Id}"));
        Assert.All(jobs, job => Assert.Equal(JobState.Completed, job.State));
        UsageRow row = Assert.Single(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel));
        Assert.True(row is { Jobs: 2, Completed: 2, Tokens: > 10 }, $"{row}");
    }

    [Fact]
    public async Task Logprobs_AreThoseOfATrace_WholeAndStreamed_OfThePromptToo()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        int[] ids = await GenerateIdsAsync(Tower, 4);
        int prompt = _local.Tokenizer.Encode(Tower).Count;
        float[] expected = await GetLogprobsAsync(ids);

        JsonObject request = Greedy(Tower, 4);
        request["logprobs"] = 3;
        JsonNode logprobs = (await api.PostAsync(Path, request, Cancel))["choices"]![0]!["logprobs"]!;
        AssertClose(expected[(prompt - 1)..], ReadNumbers(logprobs["token_logprobs"]!));
        Assert.Equal(_local.Tokenizer.BatchDecode(ids[prompt..]), logprobs["tokens"]!.AsArray().Select(token => (string)token!));
        Assert.All(logprobs["top_logprobs"]!.AsArray(), top => Assert.Equal(3, top!.AsObject().Count));
        // a greedy token is the most likely one
        AssertClose(expected[(prompt - 1)..],
            [.. logprobs["top_logprobs"]!.AsArray().Select(top => top!.AsObject().Max(each => (float)each.Value!))]);

        JsonNode[] streamed = [.. (await api.StreamAsync(Path, request, Cancel)).Select(chunk => chunk["choices"]![0]!["logprobs"]!)];
        AssertClose(expected[(prompt - 1)..], [.. streamed.SelectMany(each => ReadNumbers(each["token_logprobs"]!))]);
        Assert.Equal(logprobs["text_offset"]!.AsArray().Select(each => (int)each!),
            streamed.SelectMany(each => each["text_offset"]!.AsArray()).Select(each => (int)each!));

        JsonObject echo = Greedy(Tower, 4);
        (echo["logprobs"], echo["echo"]) = (1, true);
        JsonNode whole = (await api.PostAsync(Path, echo, Cancel))["choices"]![0]!;
        Assert.Equal(_local.Tokenizer.Decode(ids), (string?)whole["text"]);
        Assert.Null(whole["logprobs"]!["token_logprobs"]![0]);
        AssertClose(expected, ReadNumbersAfterFirst(whole["logprobs"]!["token_logprobs"]!));

        JsonObject score = new() { ["model"] = Model, ["prompt"] = Tower, ["max_tokens"] = 0, ["echo"] = true, ["logprobs"] = 0 };
        JsonNode scored = (await api.PostAsync(Path, score, Cancel))["choices"]![0]!;
        Assert.Equal((Tower, "length"), ((string?)scored["text"], (string?)scored["finish_reason"]));
        AssertClose(expected[..(prompt - 1)], ReadNumbersAfterFirst(scored["logprobs"]!["token_logprobs"]!));
    }

    [Fact]
    public async Task SampledLogprobs_AreOfTheChosenTokens()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        JsonObject request = new()
        {
            ["model"] = Model, ["prompt"] = Tower, ["max_tokens"] = 6, ["seed"] = 11, ["temperature"] = 1.5, ["logprobs"] = 0,
        };
        JsonNode choice = (await api.PostAsync(Path, request, Cancel))["choices"]![0]!;
        JsonArray tokens = choice["logprobs"]!["tokens"]!.AsArray();
        int[] ids = [.. _local.Tokenizer.Encode(Tower), .. tokens.Select(text => _local.Tokenizer.Encode((string)text!).Single())];
        float[] expected = await GetLogprobsAsync(ids);
        AssertClose(expected[^tokens.Count..], ReadNumbers(choice["logprobs"]!["token_logprobs"]!));
    }

    [Fact]
    public async Task AStopText_EndsAChoiceBeforeIt_AlsoAcrossTokens_WholeAndStreamed()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        string text = await GenerateAsync(Tower, 5);
        foreach (string stop in (string[])[" of", "dle o", "mid"])
        {
            string expected = text[..text.IndexOf(stop, StringComparison.Ordinal)];
            JsonObject request = Greedy(Tower, 5);
            request["stop"] = stop;
            JsonNode choice = (await api.PostAsync(Path, request, Cancel))["choices"]![0]!;
            Assert.Equal((expected, "stop"), ((string?)choice["text"], (string?)choice["finish_reason"]));
            request["stop"] = new JsonArray("never", stop);
            List<JsonNode> events = await api.StreamAsync(Path, request, Cancel);
            Assert.Equal(expected, string.Concat(events.Select(chunk => (string?)chunk["choices"]![0]!["text"])));
            Assert.Equal("stop", (string?)events[^1]["choices"]![0]!["finish_reason"]);
        }
    }

    [Fact]
    public async Task AnEndOfSequenceToken_IsStop_AndNoText()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        int eos = _local.Tokenizer.EosId!.Value;
        JsonObject request = Greedy(Tower, 8);
        request["logit_bias"] = new JsonObject { [eos.ToString(CultureInfo.InvariantCulture)] = 100 };
        request["logprobs"] = 0;
        JsonNode answer = await api.PostAsync(Path, request, Cancel);
        Assert.Equal(("", "stop"), ((string?)answer["choices"]![0]!["text"], (string?)answer["choices"]![0]!["finish_reason"]));
        Assert.Empty(answer["choices"]![0]!["logprobs"]!["tokens"]!.AsArray());
        Assert.Equal(1, ReadUsage(answer).Completion);
    }

    [Fact]
    public async Task ASeed_GivesTheSameText_AndNChoices_ThoseOfTheFollowingSeeds()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        JsonObject Sampled(int seed, int n) => new()
        {
            ["model"] = Model, ["prompt"] = Tower, ["max_tokens"] = 8, ["seed"] = seed, ["n"] = n, ["temperature"] = 2, ["top_p"] = 0.999,
        };
        string[] three = ReadTexts(await api.PostAsync(Path, Sampled(5, 3), Cancel));
        Assert.Equal(three, ReadTexts(await api.PostAsync(Path, Sampled(5, 3), Cancel)));
        string[] alone = [.. (await Task.WhenAll(Enumerable.Range(5, 3).Select(seed => api.PostAsync(Path, Sampled(seed, 1), Cancel))))
            .SelectMany(ReadTexts)];
        Assert.Equal(three, alone);
        Assert.True(three.Distinct().Count() > 1, string.Join(" | ", three));

        using Trace local = _local.Generate(Tower, 8, new() { Temperature = 2, TopP = 0.999, TopK = 0, Seed = 5 });
        Saved ids = local.Result.Save();
        await local.RunAsync(Cancel);
        Assert.Equal(_local.Tokenizer.Decode(ids.Tensor.ToArray<long>().Select(id => (int)id), skipSpecialTokens: true), Tower + three[0]);
        List<JsonNode> events = await api.StreamAsync(Path, Sampled(5, 3), Cancel);
        Assert.Equal(three, Enumerable.Range(0, 3).Select(i => string.Concat(events.Select(chunk => chunk["choices"]![0]!)
            .Where(choice => (int)choice["index"]! == i).Select(choice => (string?)choice["text"]))));
    }

    [Fact]
    public async Task SeveralPrompts_OfTextsOrTokenIds_AreChoicesInTheirOrder_EachAsAlone()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        string[] prompts = [Tower, "Big Ben is in the city of", "The"];
        string[] expected = [await GenerateAsync(prompts[0], 4), await GenerateAsync(prompts[1], 4), await GenerateAsync(prompts[2], 4)];
        JsonObject request = Greedy("", 4);
        request["prompt"] = new JsonArray([.. prompts.Select(prompt => (JsonNode)prompt)]);
        Assert.Equal(expected, ReadTexts(await api.PostAsync(Path, request, Cancel)));
        request["prompt"] = new JsonArray([.. prompts.Select(prompt => ToArray(_local.Tokenizer.Encode(prompt)))]);
        Assert.Equal(expected, ReadTexts(await api.PostAsync(Path, request, Cancel)));
        request["prompt"] = ToArray(_local.Tokenizer.Encode(prompts[1]));
        request["echo"] = true;
        Assert.Equal([prompts[1] + expected[1]], ReadTexts(await api.PostAsync(Path, request, Cancel)));
    }

    [Fact]
    public async Task Models_AreListed_AndFoundByTheirIds()
    {
        using var api = new OpenAiHttp(Cluster.Http, Cluster.Key);
        JsonNode list = (await api.SendAsync("/v1/models", null, Cancel)).Answer;
        Assert.Equal(Model, (string?)Assert.Single(list["data"]!.AsArray())!["id"]);
        foreach (string id in (string[])[Model, Uri.EscapeDataString(Model)])
            Assert.Equal(Model, (string?)(await api.SendAsync($"/v1/models/{id}", null, Cancel)).Answer["id"]);
        Assert.Equal((404, "model_not_found"), Two(await api.FailAsync("/v1/models/gpt-5", null, Cancel)));
    }

    [Fact]
    public async Task AJobEnds_WhenItsClientDisconnects_WholeAndStreamed()
    {
        string key = await Cluster.CreateKeyAsync("leaver");
        Backend there = Backend.At(Cluster.Grpc.ToString(), key);
        foreach (bool stream in (bool[])[false, true])
        {
            using var api = new OpenAiHttp(Cluster.Http, key);
            using var leaving = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
            JsonObject request = Greedy("The", 120);
            (request["stream"], request["n"]) = (stream, 100);
            request["logit_bias"] = new JsonObject { [$"{_local.Tokenizer.EosId}"] = -100 };
            Task sending = api.SendAsync(Path, request.ToJsonString(), leaving.Token);
            JobInfo job = await Poll.UntilAsync(
                async () => (await Job.ListAsync(remote: there, cancellationToken: Cancel)).FirstOrDefault(job => !job.State.IsTerminal())!,
                job => job is not null);
            await leaving.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
            JobInfo ended = await Poll.UntilAsync(
                async () => (await Job.ListAsync(remote: there, cancellationToken: Cancel)).Single(each => each.Id == job.Id),
                each => each.State.IsTerminal());
            Assert.Equal(JobState.Cancelled, ended.State);
        }
    }

    private static JsonObject Greedy(string prompt, int maxTokens) =>
        new() { ["model"] = Model, ["prompt"] = prompt, ["max_tokens"] = maxTokens, ["temperature"] = 0 };

    private static JsonArray ToArray(IEnumerable<int> ids) => new([.. ids.Select(id => (JsonNode)id)]);

    private static async Task<int[]> GenerateIdsAsync(string prompt, int count)
    {
        using Trace trace = _local.Generate(prompt, count);
        Saved ids = trace.Result.Save();
        await trace.RunAsync(Cancel);
        return [.. ids.Tensor.ToArray<long>().Select(id => (int)id)];
    }

    private static async Task<string> GenerateAsync(string prompt, int count) =>
        _local.Tokenizer.Decode(await GenerateIdsAsync(prompt, count), skipSpecialTokens: true)[prompt.Length..];

    /// <summary>The log probability of each token after the first, from one forward pass in this process.</summary>
    private static async Task<float[]> GetLogprobsAsync(int[] ids)
    {
        Saved logits = await _local.TraceAsync(ids, t => _local.Logits[0].LogSoftmax(-1).Save());
        return [.. Enumerable.Range(1, ids.Length - 1).Select(i => logits.Tensor[i - 1, ids[i]].Item<float>())];
    }

    private static (int Prompt, int Completion, int Total) ReadUsage(JsonNode answer) =>
        ((int)answer["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["completion_tokens"]!, (int)answer["usage"]!["total_tokens"]!);

    private static string[] ReadTexts(JsonNode answer) => [.. answer["choices"]!.AsArray().Select(choice => (string)choice!["text"]!)];

    private static float[] ReadNumbersAfterFirst(JsonNode array) => [.. array.AsArray().Skip(1).Select(number => (float)number!)];

    private static float[] ReadNumbers(JsonNode array) => [.. array.AsArray().Select(number => (float)number!)];

    private static (int, string?) Two((int Status, string? Code, string?, string) error) => (error.Status, error.Code);

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-4);
    }
}
