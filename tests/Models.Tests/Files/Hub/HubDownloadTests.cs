using System.Security.Cryptography;
using System.Text;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Files.Hub;

public sealed class HubDownloadTests : IAsyncLifetime
{
    private const string Id = "org/name", First = "1111111111111111111111111111111111111111",
        Second = "2222222222222222222222222222222222222222";

    private readonly TempFolder _source = new(), _cache = new();
    private FakeHub _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HubOptions Options => _hub.Options(_cache.Path);

    public async ValueTask InitializeAsync() => _hub = await FakeHub.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _source.Dispose();
        _cache.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cache_IsLaidOut_AsHuggingFaceDoes_AndTheModelRuns(bool shards)
    {
        Dictionary<string, byte[]> files = Model(shards);
        _hub.Add(Id, First, files);
        ModelFolder folder = await FetchAsync();

        Assert.Equal((Id, First), (folder.Id, folder.Revision));
        Assert.Equal(First, File.ReadAllText(Path.Combine(_cache.Path, "models--org--name/refs/main")));
        Assert.Equal(Path.Combine(_cache.Path, "models--org--name/snapshots", First), folder.Path);
        foreach (string name in files.Keys.Where(n => n is not ("README.md" or "pytorch_model.bin")))
        {
            string tag = FakeHub.IsLarge(files[name]) ? Convert.ToHexStringLower(SHA256.HashData(files[name]))
                : FakeHub.GitHash(files[name]);
            Assert.Equal($"../../blobs/{tag}", new FileInfo(Path.Combine(folder.Path, name)).LinkTarget);
            Assert.Equal(files[name], File.ReadAllBytes(Path.Combine(folder.Path, name)));
        }
        Assert.False(File.Exists(Path.Combine(folder.Path, "pytorch_model.bin")));
        Assert.Empty(Directory.EnumerateFiles(_cache.Path, "*.incomplete", SearchOption.AllDirectories));
        Assert.Equal(folder, HubCache.Find(Id, null, _cache.Path));

        using LoadedModel downloaded =
            ModelLoader.Load(Id, null, new LoadOptions { Hub = Options with { Offline = true } }, cancellationToken: Cancel);
        using LoadedModel original = TinyModel.Load(_source.Path);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = TinyModel.Ids(1, 5, 1);
        Assert.Equal(0, TinyModel.Difference(TinyModel.Logits(original, ids), TinyModel.Logits(downloaded, ids)));
    }

    [Fact]
    public void WhatIsInTheCache_IsTaken_WithoutAskingTheHub()
    {
        _hub.Add(Id, First, Model(shards: true));
        ModelFolder folder = Find(ModelParts.Weights);
        _hub.Requests.Clear();
        Assert.Equal(folder, Find(ModelParts.Weights));
        Assert.Equal(folder, ModelStore.Find(Id, First, ModelParts.Weights, Options, cancellationToken: Cancel));
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public void Description_FetchesNoWeights_AndTheWeightsComeFromTheSameCommit()
    {
        Dictionary<string, byte[]> files = Model(shards: false);
        _hub.Add(Id, First, files);
        Find(ModelParts.Description);
        Assert.Empty(_hub.Sent(large: true));
        Assert.DoesNotContain(_hub.Requests, r => r.Path.Contains("safetensors", StringComparison.Ordinal));

        _hub.Add(Id, Second, new() { ["config.json"] = "{}"u8.ToArray() }); // main refers to another commit
        ModelFolder folder = Find(ModelParts.Weights);
        Assert.Equal(First, folder.Revision);
        Assert.Equal(files["model.safetensors"], File.ReadAllBytes(Path.Combine(folder.Path, "model.safetensors")));
    }

    [Fact]
    public void Download_TakesWhatIsNew_AndKeepsWhatIsTheSame()
    {
        Dictionary<string, byte[]> files = Model(shards: false);
        _hub.Add(Id, First, files);
        Find(ModelParts.Weights);
        _hub.Add(Id, Second, new(files) { ["generation_config.json"] = """{ "max_new_tokens": 3 }"""u8.ToArray() });
        _hub.Requests.Clear();
        ModelFolder folder = ModelStore.Download(Id, null, ModelParts.Weights, Options, cancellationToken: Cancel);
        Assert.Equal(Second, folder.Revision);
        Assert.True(Checkpoint.IsComplete(folder.Path));
        Assert.Empty(_hub.Sent(large: true)); // the cache already has the same content
        Assert.Equal(Second, HubCache.Find(Id, null, _cache.Path)!.Revision);
        Assert.Equal(First, HubCache.Find(Id, First, _cache.Path)!.Revision);
    }

    [Fact]
    public async Task Token_GoesToTheHub_AndNeverToTheContentNetwork()
    {
        _hub.Add(Id, First, Model(shards: false), token: "hf_secret");
        await FetchAsync(Options with { Token = "hf_secret" });
        Assert.All(_hub.Requests.Where(r => r.ToHub), r => Assert.Equal("Bearer hf_secret", r.Authorization));
        Assert.NotEmpty(_hub.Sent(large: true));
        Assert.All(_hub.Requests.Where(r => !r.ToHub), r => Assert.Null(r.Authorization));
    }

    [Fact]
    public async Task BrokenConnection_GoesOnWhereItEnded()
    {
        byte[] weights = Model(shards: false)["model.safetensors"];
        _hub.Add(Id, First, Model(shards: false));
        _hub.BreakAfter = (_, _, before) => before < 6 ? 1000 : null; // more failures than the retry limit, but each attempt makes progress
        ModelFolder folder = await FetchAsync();
        Assert.Equal(weights, File.ReadAllBytes(Path.Combine(folder.Path, "model.safetensors")));
        HubRequest[] sent = [.. _hub.Sent(large: true)];
        Assert.Equal(7, sent.Length);
        Assert.Null(sent[0].Range);
        Assert.All(sent[1..], r => Assert.NotNull(r.Range));
    }

    [Fact]
    public async Task ConnectionThatNeverMovesOn_FailsAfterSoManyTries_AndKeepsWhatCame()
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.BreakAfter = (_, from, _) => from == 0 ? 1000 : 0;
        NdifException error = await Assert.ThrowsAsync<NdifException>(() => FetchAsync());
        Assert.Equal(ErrorCode.DownloadFailed, error.Code);
        Assert.True(error.Retryable);
        Assert.Equal(1000, Incomplete.Length);
        Assert.Equal(4, _hub.Sent(large: true).Count());
    }

    [Fact]
    public async Task CancelledDownload_IsTakenUpByTheNext()
    {
        _hub.Add(Id, First, Model(shards: false));
        using CancellationTokenSource cancel = new();
        _hub.BreakAfter = (_, from, _) => from == 0 ? 2000 : null;
        Reports reports = new((done, _) => { if (done >= 2000) cancel.Cancel(); });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            HubDownload.RunAsync(Id, "main", ModelParts.Weights, Options, reports, cancel.Token));
        long kept = Incomplete.Length;
        Assert.InRange(kept, 1, int.MaxValue);
        _hub.Requests.Clear();
        ModelFolder folder = await FetchAsync();
        Assert.Equal($"bytes={kept}-", Assert.Single(_hub.Sent(large: true)).Range);
        Assert.Equal(Model(shards: false)["model.safetensors"], File.ReadAllBytes(Path.Combine(folder.Path, "model.safetensors")));
    }

    [Fact]
    public async Task ServerWithoutRanges_IsReadFromTheBeginning()
    {
        byte[] weights = Model(shards: false)["model.safetensors"];
        _hub.Add(Id, First, Model(shards: false));
        (_hub.KnowsRanges, _hub.BreakAfter) = (false, (_, _, before) => before == 0 ? 1500 : null);
        ModelFolder folder = await FetchAsync();
        Assert.Equal(weights, File.ReadAllBytes(Path.Combine(folder.Path, "model.safetensors")));
    }

    [Fact]
    public async Task LeftoverOfAnotherContent_IsNoticed_AndFetchedAnew()
    {
        byte[] weights = Model(shards: false)["model.safetensors"];
        _hub.Add(Id, First, Model(shards: false));
        _cache.Write($"models--org--name/blobs/{Convert.ToHexStringLower(SHA256.HashData(weights))}.incomplete", new string('x', 700));
        ModelFolder folder = await FetchAsync();
        Assert.Equal(weights, File.ReadAllBytes(Path.Combine(folder.Path, "model.safetensors")));
        Assert.Equal(["bytes=700-", null], _hub.Sent(large: true).Select(r => r.Range));
    }

    [Fact]
    public async Task WrongChecksum_IsRefused_AndNothingOfItStays()
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.Corrupts = true;
        NdifException error = await Assert.ThrowsAsync<NdifException>(() => FetchAsync());
        Assert.Equal(ErrorCode.DownloadFailed, error.Code);
        Assert.Contains("`model.safetensors` arrived with another checksum", error.Message, StringComparison.Ordinal);
        Assert.False(Incomplete.Exists);
        Assert.False(File.Exists(Path.Combine(_cache.Path, "models--org--name/snapshots", First, "model.safetensors")));
        _hub.Corrupts = false;
        Assert.True(Checkpoint.IsComplete((await FetchAsync()).Path));
    }

    [Fact]
    public async Task WrongTagOfASmallFile_IsRefusedToo()
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.Tag = new string('a', 40);
        Assert.Contains("another checksum", (await Assert.ThrowsAsync<NdifException>(() => FetchAsync())).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task TwoAtOnce_FetchEachFileOnce()
    {
        _hub.Add(Id, First, Model(shards: true));
        using SemaphoreSlim gate = new(0);
        _hub.Hold = () => gate.WaitAsync(Cancel);
        Task<ModelFolder> first = FetchAsync(), second = FetchAsync();
        gate.Release(100);
        ModelFolder[] both = await Task.WhenAll(first, second);
        Assert.Equal(both[0], both[1]);
        Assert.Equal(3, _hub.Sent(large: true).Count()); // two shards and their index
        Assert.True(Checkpoint.IsComplete(both[0].Path));
    }

    [Fact]
    public async Task LockOfAnotherProcess_IsWaitedFor()
    {
        byte[] weights = Model(shards: false)["model.safetensors"];
        _hub.Add(Id, First, Model(shards: false));
        string hash = Convert.ToHexStringLower(SHA256.HashData(weights));
        using (HubLock held = await HubLock.AcquireAsync(_cache.File($".locks/models--org--name/{hash}.lock"), Cancel))
        {
            using CancellationTokenSource impatient = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
            Task<ModelFolder> waits = HubDownload.RunAsync(Id, "main", ModelParts.Weights, Options, null, impatient.Token);
            await impatient.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waits);
            Assert.Empty(_hub.Sent(large: true));
        }
        Assert.True(Checkpoint.IsComplete((await FetchAsync()).Path));
    }

    [Theory]
    [InlineData(null, "none is set")]
    [InlineData("hf_other", "has no access")]
    public void GatedModel_SaysWhereToAcceptTheLicence(string? token, string about)
    {
        _hub.Add(Id, First, Model(shards: false), token: "hf_secret");
        AccessException error = Assert.Throws<AccessException>(() => Find(ModelParts.Weights, Options with { Token = token }));
        Assert.Equal(ErrorCode.PermissionDenied, error.Code);
        Assert.Contains($"Accept the licence at {_hub.Address.ToString().TrimEnd('/')}/{Id}, and set HF_TOKEN", error.Message,
            StringComparison.Ordinal);
        Assert.Contains(about, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownModel_NamesNearOnesOfTheCache()
    {
        _cache.Write("models--openai-community--gpt2/snapshots/1/config.json", "{}");
        NdifException error =
            Assert.Throws<NdifException>(() =>
                ModelStore.Find("openai-comunity/gpt2", null, ModelParts.Weights, Options, cancellationToken: Cancel));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains("Did you mean `openai-community/gpt2`?", error.Message, StringComparison.Ordinal);
        Assert.Contains("set HF_TOKEN", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownRevision_IsNamed()
    {
        _hub.Add(Id, First, Model(shards: false));
        NdifException error =
            Assert.Throws<NdifException>(() => ModelStore.Find(Id, "v9", ModelParts.Weights, Options, cancellationToken: Cancel));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains("has no revision `v9`", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Offline_AsksNobody()
    {
        NdifException error = Assert.Throws<NdifException>(() => Find(ModelParts.Weights, Options with { Offline = true }));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains("HF_HUB_OFFLINE is set", error.Message, StringComparison.Ordinal);
        Assert.Empty(_hub.Requests);
    }

    [Fact]
    public async Task UnreachableHub_IsToldAtOnce_AndTheCacheStillWorks()
    {
        _hub.Add(Id, First, Model(shards: false));
        HubOptions options = Options with { Backoff = TimeSpan.FromMinutes(10) }; // a retry would be noticed
        Find(ModelParts.Description);
        await _hub.DisposeAsync();
        NdifException error =
            Assert.Throws<NdifException>(() => ModelStore.Find("org/other", null, ModelParts.Weights, options, cancellationToken: Cancel));
        Assert.Equal(ErrorCode.UnknownModel, error.Code);
        Assert.Contains("cannot be asked for it", error.Message, StringComparison.Ordinal);
        Assert.Equal(First, Find(ModelParts.Description, options).Revision);
        Assert.Contains("neither model.safetensors", Assert.Throws<CheckpointException>(() =>
            ModelLoader.Load(Id, null, new LoadOptions { Hub = options }, cancellationToken: Cancel)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BusyHub_IsAskedAgain_SoManyTimes()
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.Failures = 3;
        await FetchAsync();
        _hub.Failures = 4;
        NdifException error = await Assert.ThrowsAsync<NdifException>(() => FetchAsync());
        Assert.Equal(ErrorCode.DownloadFailed, error.Code);
        Assert.Contains("answered 503", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RedirectsWithoutEnd_End()
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.RedirectsForever = true;
        Assert.Contains("redirects more than", (await Assert.ThrowsAsync<NdifException>(() => FetchAsync())).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task PickledWeights_AreFetched_WhereThereAreNoSafetensors()
    {
        _hub.Add(Id, First, new() { ["config.json"] = "{}"u8.ToArray(), ["pytorch_model.bin"] = new byte[5000],
            ["tf_model.h5"] = new byte[9] });
        ModelFolder folder = await FetchAsync();
        Assert.Equal(["config.json", "pytorch_model.bin"], Directory.EnumerateFiles(folder.Path).Select(Path.GetFileName).Order());
        Assert.True(Checkpoint.IsComplete(folder.Path));
    }

    [Fact]
    public async Task OnlyGguf_IsRefused_AndSaysWhatToDo()
    {
        _hub.Add(Id, First, new() { ["config.json"] = "{}"u8.ToArray(), ["model-Q4_0.gguf"] = new byte[5000] });
        CheckpointException error = await Assert.ThrowsAsync<CheckpointException>(() => FetchAsync());
        Assert.Contains("It has `model-Q4_0.gguf`.", error.Message, StringComparison.Ordinal);
        Assert.Contains("Download one of its GGUF files, and give its path.", error.Message, StringComparison.Ordinal);
        Assert.Empty(_hub.Sent(large: true));
    }

    [Fact]
    public async Task FullDisk_IsNoticedBeforehand()
    {
        _hub.Add(Id, First, Model(shards: false));
        NdifException error = await Assert.ThrowsAsync<NdifException>(() => FetchAsync(Options with { FreeBytes = _ => 1000 }));
        Assert.Equal(ErrorCode.DownloadFailed, error.Code);
        Assert.Contains("the disk has 0 MB free", error.Message, StringComparison.Ordinal);
        Assert.Empty(_hub.Sent(large: true));
    }

    [Theory]
    [InlineData("../../../escaped.safetensors")]
    [InlineData("/tmp/escaped.safetensors")]
    [InlineData("weights.bin")]
    public async Task Index_NamesOnlyFilesBesideIt(string shard)
    {
        byte[] index = Encoding.UTF8.GetBytes($$"""{ "weight_map": { "a": "{{shard}}" } }""");
        _hub.Add(Id, First,
            new() { ["config.json"] = "{}"u8.ToArray(), ["model.safetensors.index.json"] = index, [shard] = new byte[2000] });
        Assert.Contains("not a safetensors file beside it", (await Assert.ThrowsAsync<CheckpointException>(() => FetchAsync())).Message,
            StringComparison.Ordinal);
        Assert.Empty(_hub.Sent(large: true));
    }

    [Theory]
    [InlineData("../../escaped")]
    [InlineData("..")]
    [InlineData("")]
    public async Task HubsTags_NeverLeaveTheCache(string tag)
    {
        _hub.Add(Id, First, Model(shards: false));
        _hub.Tag = tag;
        Assert.Equal(ErrorCode.DownloadFailed, (await Assert.ThrowsAsync<NdifException>(() => FetchAsync())).Code);
        _hub.Tag = null;
        _hub.Add(Id, "../../escaped", Model(shards: false));
        Assert.Equal(ErrorCode.DownloadFailed, (await Assert.ThrowsAsync<NdifException>(() => FetchAsync())).Code);
        Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(_cache.Path, "*", SearchOption.AllDirectories),
            f => f.Contains("escaped", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Progress_EndsWithAllBytes_ThroughABreak()
    {
        Dictionary<string, byte[]> files = Model(shards: true);
        _hub.Add(Id, First, files);
        (_hub.KnowsRanges, _hub.BreakAfter) = (false, (_, _, before) => before == 0 ? 1500 : null);
        Reports all = new((_, _) => { });
        await HubDownload.RunAsync(Id, "main", ModelParts.Weights, Options, all, Cancel);
        long bytes = files.Where(f => f.Key is not ("README.md" or "pytorch_model.bin")).Sum(f => f.Value.Length);
        Assert.Equal((bytes, bytes), all.Last);
    }

    [Fact]
    public void Environment_IsReadAsHuggingFaceDoes()
    {
        Dictionary<string, string?> before = new();
        foreach (string name in (string[])["HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"])
        {
            before[name] = Environment.GetEnvironmentVariable(name);
            Environment.SetEnvironmentVariable(name, null);
        }
        try
        {
            Environment.SetEnvironmentVariable("HF_HOME", _source.Path);
            Assert.Equal(("https://huggingface.co/", null, false, _source.File("hub")), Read());
            _source.Write("token", "hf_stored\n");
            Environment.SetEnvironmentVariable("HF_HUB_OFFLINE", "yes");
            Environment.SetEnvironmentVariable("HF_ENDPOINT", "https://mirror.example/hf/");
            Assert.Equal(("https://mirror.example/hf", "hf_stored", true, _source.File("hub")), Read());
            Environment.SetEnvironmentVariable("HF_TOKEN", "hf_given");
            Environment.SetEnvironmentVariable("HF_HUB_CACHE", _cache.Path);
            Assert.Equal(("https://mirror.example/hf", "hf_given", true, _cache.Path), Read());
            Environment.SetEnvironmentVariable("HF_ENDPOINT", "file:///etc");
            Assert.Contains("HF_ENDPOINT is `file:///etc`", Assert.ThrowsAny<NdifException>(() => Read()).Message,
                StringComparison.Ordinal);
        }
        finally
        {
            foreach (var (name, value) in before) Environment.SetEnvironmentVariable(name, value);
        }

        static (string, string?, bool, string) Read()
        {
            HubOptions options = HubOptions.FromEnvironment();
            return (options.Endpoint.ToString(), options.Token, options.Offline, options.Cache);
        }
    }

    /// <summary>The received part of the weights.</summary>
    private FileInfo Incomplete => new(_cache.File(
        $"models--org--name/blobs/{Convert.ToHexStringLower(SHA256.HashData(Model(shards: false)["model.safetensors"]))}.incomplete"));

    private Task<ModelFolder> FetchAsync(HubOptions? options = null) =>
        HubDownload.RunAsync(Id, "main", ModelParts.Weights, options ?? Options, null, Cancel);

    private ModelFolder Find(ModelParts parts, HubOptions? options = null) =>
        ModelStore.Find(Id, null, parts, options ?? Options, cancellationToken: Cancel);

    /// <summary>The files of a repository, with some that are not needed; the same each time.</summary>
    private Dictionary<string, byte[]> Model(bool shards)
    {
        if (!File.Exists(_source.File("config.json"))) TinyModel.Write(_source, TinyModel.GPT2());
        Dictionary<string, byte[]> files = new()
        {
            ["README.md"] = "# A model"u8.ToArray(),
            ["pytorch_model.bin"] = new byte[3000],
            ["config.json"] = File.ReadAllBytes(_source.File("config.json")),
            ["generation_config.json"] = "{}"u8.ToArray(),
        };
        if (!shards)
        {
            files["model.safetensors"] = File.ReadAllBytes(_source.File("model.safetensors"));
            return files;
        }
        using var scope = NewDisposeScope();
        using SafetensorsFile whole = SafetensorsFile.Open(_source.File("model.safetensors"));
        string[] names = [.. whole.Entries.Keys.Order(StringComparer.Ordinal)];
        for (int part = 1; part <= 2; part++)
        {
            string name = $"model-0000{part}-of-00002.safetensors";
            SafetensorsWriter.Write(_source.File(name), names.Where((_, i) => i % 2 == part - 1)
                .Select(n => KeyValuePair.Create(n, whole.Read(n).DetachFromDisposeScope())));
            files[name] = File.ReadAllBytes(_source.File(name));
        }
        files["model.safetensors.index.json"] = Encoding.UTF8.GetBytes("{\"weight_map\":{"
            + string.Join(",", names.Select((n, i) => $"\"{n}\":\"model-0000{i % 2 + 1}-of-00002.safetensors\"")) + "}}");
        return files;
    }

    private sealed class Reports(Action<long, long> onReport) : IProgress<(string What, long Done, long Total)>
    {
        public (long Done, long Total) Last { get; private set; }

        public void Report((string What, long Done, long Total) value)
        {
            Last = (value.Done, value.Total);
            onReport(value.Done, value.Total);
        }
    }
}
