using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.EndToEnd;

/// <summary>A gateway and workers of a test's own, on the cluster's Redis under another prefix; and models of its own to deploy.</summary>
internal sealed class IsolatedService : IAsyncDisposable
{
    private static int _count;

    private readonly TestCluster _cluster;
    private readonly string _prefix = $"ndif:own{Interlocked.Increment(ref _count)}:";
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-e2e-models-").FullName;
    private readonly List<ChildProcess> _children = [];

    private IsolatedService(TestCluster cluster) => _cluster = cluster;

    public Uri Grpc { get; private set; } = new("http://127.0.0.1:0");

    public Uri Http { get; private set; } = new("http://127.0.0.1:0");

    /// <summary>Of an operator.</summary>
    public string Key { get; private set; } = "";

    public Backend Remote => Backend.At(Grpc.ToString(), Key);

    public Dictionary<string, ChildProcess> Workers { get; } = [];

    public static async Task<IsolatedService> StartAsync(TestCluster cluster)
    {
        var service = new IsolatedService(cluster);
        ChildProcess gateway = service.Add(cluster.StartTool("serve", "--redis", cluster.RedisAddress, "--data", cluster.DataFolder, "--prefix", service._prefix, "--port", "0", "--http-port", "0"));
        Task<string> key = service.CreateKeyAsync("--operator");
        string[] words = (await gateway.WaitForLineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses")).Split(' ');
        (service.Grpc, service.Http) = (new Uri(words[1]), new Uri(words[2]));
        service.Key = await key;
        return service;
    }

    /// <summary>The bundled model with a weight multiplied, in a folder of this name: it answers otherwise than the others.</summary>
    public string CreateModel(string name, double factor)
    {
        string from = ModelStore.Find(ModelStore.TinyLandmarks).Path, to = Path.Combine(_folder, name);
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from).Where(file => !file.EndsWith(".safetensors", StringComparison.Ordinal))) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        using SafetensorsFile weights = SafetensorsFile.Open(Path.Combine(from, "model.safetensors"));
        using var scope = torch.NewDisposeScope();
        SafetensorsWriter.Write(Path.Combine(to, "model.safetensors"), weights.Entries.Keys.Select(key =>
        {
            torch.Tensor tensor = weights.Read(key);
            scope.Attach(tensor);
            return KeyValuePair.Create(key, key.EndsWith("ln_f.weight", StringComparison.Ordinal) ? tensor * factor : tensor);
        }));
        return to;
    }

    /// <summary>Starts a worker that holds nothing from the start.</summary>
    public async Task<ChildProcess> StartWorkerAsync(string id, params string[] extraArguments)
    {
        ChildProcess worker = Add(_cluster.StartTool(["worker", "--redis", _cluster.RedisAddress, "--data", _cluster.DataFolder, "--prefix", _prefix, "--lease-seconds", $"{TestCluster.LeaseSeconds}",
            "--min-residence-seconds", "0", .. extraArguments.Contains("--grace-seconds") ? [] : (string[])["--grace-seconds", "0"], "--on-demand", "--id", id, .. extraArguments]));
        await worker.WaitForLineAsync(line => line.StartsWith($"worker {id}", StringComparison.Ordinal), "that it is ready");
        Workers.Add(id, worker);
        return worker;
    }

    public async Task<string> CreateKeyAsync(params string[] options)
    {
        await using ChildProcess keys = _cluster.StartTool(["keys", "create", "own", "--redis", _cluster.RedisAddress, "--data", _cluster.DataFolder, "--prefix", _prefix, .. options]);
        return await keys.WaitForLineAsync(line => line.StartsWith("ndif_", StringComparison.Ordinal), "a key");
    }

    /// <summary>`ndif models ...` as an operator: what it printed.</summary>
    public async Task<string> RunModelsCommandAsync(params string[] arguments)
    {
        await using ChildProcess tool = _cluster.StartTool(["models", .. arguments, "--host", Grpc.ToString(), "--key", Key]);
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }

    /// <summary>The same where it must fail: what it says.</summary>
    public async Task<string> RunFailingModelsCommandAsync(string? key, params string[] arguments)
    {
        await using ChildProcess tool = _cluster.StartTool(["models", .. arguments, "--host", Grpc.ToString(), "--key", key ?? Key]);
        Assert.True(await tool.WaitForExitAsync() == 1, tool.FormatOutput());
        return tool.Errors;
    }

    /// <summary>Runs an experiment; gives its results' checksums and the states that it went through.</summary>
    public async Task<(Dictionary<string, string> Results, List<JobState> States)> RunAsync(string experiment, string model, CancellationToken cancellationToken)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, Remote, model);
        List<JobState> states = [];
        recorded.Trace.OnEvent = happening =>
        {
            if (happening.State is { } state) states.Add(state);
        };
        return ((await recorded.RunAsync(cancellationToken)).ToDictionary(result => result.Key, result => result.Value.Checksum()), states);
    }

    /// <summary>The models that a worker holds on its device, by their folders' names, in order; null if it does not live.</summary>
    public async Task<string?> GetLoadedModelsAsync(string worker) =>
        (await Status.GetAsync(Remote, TestContext.Current.CancellationToken)).Workers.FirstOrDefault(w => w.Id == worker) is { } alive
            ? string.Join(' ', alive.Models.Select(m => Path.GetFileName(m)).Order(StringComparer.Ordinal)) : null;

    public Task WaitForLoadedModelsAsync(string worker, string? models) => Poll.UntilAsync(() => GetLoadedModelsAsync(worker), hot => hot == models);

    public string Report() => string.Join("\n\n", _children.Select(child => child.FormatOutput()));

    public async ValueTask DisposeAsync()
    {
        foreach (ChildProcess child in Enumerable.Reverse(_children)) await child.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private ChildProcess Add(ChildProcess child)
    {
        lock (_children) _children.Add(child);
        return child;
    }
}
