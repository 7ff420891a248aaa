using System.Text.Json.Nodes;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>Published edits: edited models that have a name on the service, for OpenAI's clients.</summary>
public sealed class OpenAiEditsTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Path = "/v1/completions";
    private const string Tower = "The Eiffel Tower is in the city of";
    private const string BigBen = "Big Ben is in the city of";
    private const int Hidden = 128;

    private static readonly LanguageModel _local = new(Experiments.Model, remote: Backend.Local);

    /// <summary>A steering vector, at every position of every step.</summary>
    private static readonly LanguageModel _steered = _local.Edit(() =>
        _local.Layers[1].Hidden = _local.Layers[1].Hidden + TensorData.Randn([Hidden], seed: 3) * 12);

    /// <summary>Two edits, one of which has a constant that is large enough to be a blob.</summary>
    private static readonly LanguageModel _mixed = _local
        .Edit(() => _local.Layers[2].Hidden = _local.Layers[2].Hidden.MatMul(TensorData.Randn([Hidden, Hidden], seed: 5) * 0.3))
        .Edit(() => _local.Layers[0].Mlp.Output = _local.Layers[0].Mlp.Output * -1);

    [Fact]
    public async Task TheTool_PublishesListsShowsAndDeletesAFile_AndACompletionIsThatOfTheLocalEditedModel()
    {
        string key = await Cluster.CreateKeyAsync("author");
        using var folder = new TempFolder();
        _steered.ExportEdits(folder.File("steered.edits"));
        string published = await RunEditsAsync(key, "publish", "steered", folder.File("steered.edits"));
        Assert.Contains("Published steered: ndif/tiny-landmarks with", published, StringComparison.Ordinal);
        Assert.Contains("steered", await RunEditsAsync(key, "list"), StringComparison.Ordinal);
        EditsInfo shown = EditsInfo.Parser.ParseJson(await RunEditsAsync(key, "show", "steered"));
        Assert.Equal((key.Split('_')[1], false, Experiments.Model), (shown.Owner, shown.Public, shown.Model.Id));

        using var api = new OpenAiHttp(Cluster.Http, key);
        string expected = await GenerateAsync(_steered, Tower, 6);
        Assert.NotEqual(await GenerateAsync(_local, Tower, 6), expected);
        JsonNode answer = await api.PostAsync(Path, Greedy("steered", Tower, 6), Cancel);
        Assert.Equal((expected, "steered"), (ReadTexts(answer).Single(), (string?)answer["model"]));
        Assert.Equal(expected, string.Concat((await api.StreamAsync(Path, Greedy("steered", Tower, 6), Cancel))
            .Select(chunk => (string?)chunk["choices"]![0]!["text"])));
        JsonArray models = (await api.SendAsync("/v1/models", null, Cancel)).Answer["data"]!.AsArray();
        Assert.Contains("steered", models.Select(model => (string?)model!["id"]));

        Assert.Equal("Deleted steered.", await RunEditsAsync(key, "delete", "steered"));
        Assert.Equal((404, "model_not_found"), Two(await api.FailAsync(Path, Greedy("steered", Tower, 6).ToJsonString(), Cancel)));
    }

    [Fact]
    public async Task ManyChoicesOfLargeEdits_AreRefused_BeforeTheEditsAreCopied()
    {
        LanguageModel large = _local.Edit(() =>
        {
            Value hidden = _local.Layers[1].Hidden;
            for (int i = 0; i < 2000; i++) hidden += 0;
            _local.Layers[1].Hidden = hidden;
        });
        KeyedBackend there = await PublishAsync("large", large);
        using var api = new OpenAiHttp(Cluster.Http, there.Key);
        JsonObject request = Greedy("large", Tower, 1);
        (request["n"], request["temperature"]) = (128, 1);
        (int status, string? code, _, string message) = await api.FailAsync(Path, request.ToJsonString(), Cancel);
        Assert.Equal((400, "limit_exceeded"), (status, code));
        Assert.Contains("as each choice has those of the edits", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SeveralPromptsAndChoicesOfPublishedEdits_AreEachEdited_AlsoTheirLogprobs()
    {
        KeyedBackend there = await PublishAsync("several", _mixed);
        using var api = new OpenAiHttp(Cluster.Http, there.Key);
        JsonObject request = Greedy("several", "", 5);
        request["prompt"] = new JsonArray(Tower, BigBen);
        request["logprobs"] = 2;
        JsonNode answer = await api.PostAsync(Path, request, Cancel);
        Assert.Equal([await GenerateAsync(_mixed, Tower, 5), await GenerateAsync(_mixed, BigBen, 5)], ReadTexts(answer));
        Assert.NotEqual(await GenerateAsync(_local, Tower, 5), ReadTexts(answer)[0]);

        JsonObject score = new() { ["model"] = "several", ["prompt"] = Tower, ["max_tokens"] = 0, ["echo"] = true, ["logprobs"] = 1 };
        JsonNode scored = (await api.PostAsync(Path, score, Cancel))["choices"]![0]!;
        int[] ids = [.. _local.Tokenizer.Encode(Tower)];
        Saved logprobs = await _mixed.TraceAsync(ids, t => _mixed.Logits[0].LogSoftmax(-1).Save(), cancellationToken: Cancel);
        for (int i = 1; i < ids.Length; i++)
            Assert.Equal(logprobs.Tensor[i - 1, ids[i]].Item<float>(), (float)scored["logprobs"]!["token_logprobs"]![i]!, 1e-4);

        JsonObject drawn = new()
        {
            ["model"] = "several", ["prompt"] = Tower, ["max_tokens"] = 6, ["n"] = 3, ["seed"] = 4, ["temperature"] = 2,
        };
        using Trace local = _mixed.Generate(Tower, 6, new() { Temperature = 2, TopP = 1, TopK = 0, Seed = 4 });
        Saved own = local.Result.Save();
        await local.RunAsync(Cancel);
        Assert.Equal(Decode(own), Tower + ReadTexts(await api.PostAsync(Path, drawn, Cancel))[0]);
    }

    [Fact]
    public async Task TwoPublishedEditsAndTheModel_RunTogether_EachAsAlone()
    {
        KeyedBackend there = await PublishAsync("one", _steered);
        await PublishedEdits.PublishAsync("two", _mixed, remote: there, cancellationToken: Cancel);
        using var api = new OpenAiHttp(Cluster.Http, there.Key);
        (string Name, LanguageModel Model)[] models = [("one", _steered), ("two", _mixed), (Experiments.Model, _local)];
        JsonNode[] answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(i =>
        {
            JsonObject request = Greedy(models[i % 3].Name, i < 6 ? Tower : BigBen, 60);
            request["logit_bias"] = new JsonObject { [$"{_local.Tokenizer.EosId}"] = -100 };
            return api.PostAsync(Path, request, Cancel);
        }));
        for (int i = 0; i < answers.Length; i++)
        {
            using Trace alone = models[i % 3].Model.Generate(
                i < 6 ? Tower : BigBen, 60, new() { SequenceBias = [([_local.Tokenizer.EosId!.Value], -100)] });
            Saved ids = alone.Result.Save();
            await alone.RunAsync(Cancel);
            Assert.Equal(Decode(ids), (i < 6 ? Tower : BigBen) + ReadTexts(answers[i]).Single());
        }
        Assert.Contains(Cluster.Workers.Values.SelectMany(worker => worker.Lines),
            line => line.Contains("one of 3 that run", StringComparison.Ordinal));
    }

    [Fact]
    public async Task PrivateEdits_AreInvisibleToOtherKeys_AndPublicOnesAreForEveryKey_UntilTheirOwnersKeyIsRevoked()
    {
        KeyedBackend author = await PublishAsync("shared", _mixed, everyone: true);
        await PublishedEdits.PublishAsync("hidden", _steered, remote: author, cancellationToken: Cancel);
        string otherKey = await Cluster.CreateKeyAsync("reader");
        Backend other = Backend.At(Cluster.Grpc.ToString(), otherKey);
        using var api = new OpenAiHttp(Cluster.Http, otherKey);

        Assert.Equal((404, "model_not_found"), Two(await api.FailAsync(Path, Greedy("hidden", Tower, 4).ToJsonString(), Cancel)));
        Assert.Equal((404, "model_not_found"), Two(await api.FailAsync("/v1/models/hidden", null, Cancel)));
        Assert.Equal(ErrorCode.UnknownModel, (await Assert.ThrowsAnyAsync<NdifException>(
            () => PublishedEdits.GetAsync("hidden", other, Cancel))).Code);
        IReadOnlyList<EditsInfo> visible = await PublishedEdits.ListAsync(other, Cancel);
        Assert.DoesNotContain("hidden", visible.Select(info => info.Name));
        Assert.All(visible, info => Assert.True(info is { Program: null, Constants.Count: 0 }, $"{info}"));

        // its constant is a blob of the author
        Assert.Equal(
            await GenerateAsync(_mixed, Tower, 4), ReadTexts(await api.PostAsync(Path, Greedy("shared", Tower, 4), Cancel)).Single());
        Assert.Equal("shared", (string?)(await api.SendAsync("/v1/models/shared", null, Cancel)).Answer["id"]);
        Assert.Equal(ErrorCode.UnknownModel, (await Assert.ThrowsAnyAsync<NdifException>(
            () => PublishedEdits.DeleteAsync("shared", other, Cancel))).Code);
        Assert.Equal(ErrorCode.BadArgument, (await Assert.ThrowsAnyAsync<NdifException>(
            () => PublishedEdits.PublishAsync("shared", _steered, everyone: true, other, Cancel))).Code);
        // a name of the own key precedes that of another one
        await PublishedEdits.PublishAsync("shared", _steered, remote: other, cancellationToken: Cancel);
        Assert.Equal(
            await GenerateAsync(_steered, Tower, 4), ReadTexts(await api.PostAsync(Path, Greedy("shared", Tower, 4), Cancel)).Single());
        await PublishedEdits.DeleteAsync("shared", other, Cancel);

        await using ChildProcess revoke = Cluster.StartTool(
            "keys", "revoke", author.Key.Split('_')[1], "--redis", Cluster.RedisAddress, "--data", Cluster.DataFolder);
        Assert.Equal(0, await revoke.WaitForExitAsync());
        await Poll.UntilAsync(
            () => PublishedEdits.ListAsync(other, Cancel), edits => edits.All(info => info.Name != "shared"));
    }

    [Fact]
    public async Task NamesStatementsAndAmounts_ThatAreNotAllowed_AreRefused()
    {
        string[] tiers = ["--set", "Gateway:Tiers:tight:StoredBlobBytes=40000", "--set", "Gateway:EditsPerKey=2"];
        GatewayProcess own = await Cluster.StartGatewayProcessAsync(0, 0, tiers);
        await using ChildProcess stopped = own.Process;
        Backend there = Backend.At(own.Grpc.ToString(), await Cluster.CreateKeyAsync("two"));
        foreach (string name in (string[])["", "Upper", "a b", "-a", new string('a', 65), Experiments.Model])
            Assert.Equal(ErrorCode.BadArgument, (await FailAsync(name, _steered, there)).Code);
        LanguageModel saving = _local.Edit(() => _local.Layers[1].Hidden.Save());
        Assert.Equal(ErrorCode.Unsupported, (await FailAsync("saving", saving, there)).Code);

        for (int i = 0; i < 2; i++) await PublishedEdits.PublishAsync($"n{i}", _steered, remote: there, cancellationToken: Cancel);
        await PublishedEdits.PublishAsync("n1", _mixed, remote: there, cancellationToken: Cancel); // in place of the other edits
        Assert.Equal(ErrorCode.QuotaExceeded, (await FailAsync("n2", _steered, there)).Code);

        Backend tight = Backend.At(own.Grpc.ToString(), await Cluster.CreateKeyAsync("tight", ["--tier", "tight", .. tiers]));
        Assert.Equal(ErrorCode.QuotaExceeded, (await FailAsync("large", _mixed, tight)).Code);
        await PublishedEdits.PublishAsync("small", _steered, remote: tight, cancellationToken: Cancel);
        StorageUse used = await ServiceUsage.GetStorageAsync(tight, Cancel);
        Assert.True(used.BlobBytes > 0, $"{used}");
    }

    private static async Task<NdifException> FailAsync(string name, LanguageModel model, Backend there) =>
        await Assert.ThrowsAnyAsync<NdifException>(
            () => PublishedEdits.PublishAsync(name, model, remote: there, cancellationToken: Cancel));

    /// <summary>Publishes edits with a key of their own.</summary>
    private async Task<KeyedBackend> PublishAsync(string name, LanguageModel edited, bool everyone = false)
    {
        var there = new KeyedBackend(Cluster.Grpc, await Cluster.CreateKeyAsync(name));
        await PublishedEdits.PublishAsync(name, edited, everyone, there, Cancel);
        return there;
    }

    private async Task<string> RunEditsAsync(string key, params string[] arguments)
    {
        await using ChildProcess tool = Cluster.StartTool(["edits", .. arguments, "--host", Cluster.Grpc.ToString(), "--key", key]);
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }

    private static JsonObject Greedy(string model, string prompt, int maxTokens) =>
        new() { ["model"] = model, ["prompt"] = prompt, ["max_tokens"] = maxTokens, ["temperature"] = 0 };

    private static async Task<string> GenerateAsync(LanguageModel model, string prompt, int count)
    {
        using Trace trace = model.Generate(prompt, count);
        Saved ids = trace.Result.Save();
        await trace.RunAsync(Cancel);
        return Decode(ids)[prompt.Length..];
    }

    private static string Decode(Saved ids) =>
        _local.Tokenizer.Decode(ids.Tensor.ToArray<long>().Select(id => (int)id), skipSpecialTokens: true);

    private static string[] ReadTexts(JsonNode answer) => [.. answer["choices"]!.AsArray().Select(choice => (string)choice!["text"]!)];

    private static (int, string?) Two((int Status, string? Code, string?, string) error) => (error.Status, error.Code);

    private sealed record KeyedBackend(Uri Host, string Key)
    {
        public static implicit operator Backend(KeyedBackend there) => Backend.At(there.Host.ToString(), there.Key);
    }
}
