using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>A gateway and workers for one test, on the cluster's Redis with another prefix, and models that can be deployed.</summary>
internal sealed class IsolatedService(TestCluster cluster) : ServiceCluster(cluster.Folder)
{
    private static int _count;

    private readonly TempFolder _models = new();

    public Uri Grpc { get; private set; } = new("http://127.0.0.1:0");

    public Uri Http { get; private set; } = new("http://127.0.0.1:0");

    /// <summary>An operator's key.</summary>
    public string Key { get; private set; } = "";

    public Backend Remote => Backend.At(Grpc.ToString(), Key);

    public Dictionary<string, ChildProcess> Workers { get; } = [];

    public static async Task<IsolatedService> StartAsync(TestCluster cluster)
    {
        var service = new IsolatedService(cluster)
        {
            RedisAddress = cluster.RedisAddress,
            Prefix = $"ndif:isolated{Interlocked.Increment(ref _count)}:",
        };
        Task<string> key = service.CreateKeyAsync("own", "--operator");
        (_, service.Grpc, service.Http) = await service.StartGatewayProcessAsync(0, 0,
            "--set", $"Gateway:ModelFolders:0={service._models.Path}");
        service.Key = await key;
        return service;
    }

    /// <summary>Copies the bundled model into a folder of this name and scales one weight, so that its results differ.</summary>
    public string CreateModel(string name, double factor)
    {
        string from = ModelStore.Find(ModelStore.TinyLandmarks).Path, to = _models.File(name);
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from).Where(file => !file.EndsWith(".safetensors", StringComparison.Ordinal)))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
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

    /// <summary>Writes a checkpoint of this config.json with random weights into a folder of this name.</summary>
    /// <param name="shared">The ends of the paths of modules that have the weight of another one.</param>
    public string CreateRandomModel(string name, string config, params string[] shared)
    {
        string to = _models.File(name);
        Directory.CreateDirectory(to);
        File.WriteAllText(Path.Combine(to, "config.json"), config);
        using var scope = torch.NewDisposeScope();
        using torch.Generator generator = new(1);
        ModuleInfo root = Ndif.Models.Loading.ModelLoader.Describe(to).Root;
        SafetensorsWriter.Write(Path.Combine(to, "model.safetensors"),
            from path in root.Paths()
            where !shared.Any(path.EndsWith)
            from parameter in root.Find(path)!.Parameters
            select KeyValuePair.Create($"{path}.{parameter.Name}", torch.randn([.. parameter.Shape], generator: generator) * 0.3));
        return to;
    }

    /// <summary>Starts a worker without a model, which loads models on demand.</summary>
    public async Task<ChildProcess> StartWorkerAsync(string id, params string[] extraArguments)
    {
        ChildProcess worker = await StartWorkerProcessAsync(id,
            ["--lease-seconds", $"{TestCluster.LeaseSeconds}", "--min-residence-seconds", "0", "--on-demand",
                .. extraArguments.Contains("--grace-seconds") ? [] : (string[])["--grace-seconds", "0"], .. extraArguments]);
        Workers.Add(id, worker);
        return worker;
    }

    /// <summary>Runs `ndif models ...` as an operator and returns its output.</summary>
    public async Task<string> RunModelsCommandAsync(params string[] arguments)
    {
        await using ChildProcess tool = StartTool(["models", .. arguments, "--host", Grpc.ToString(), "--key", Key]);
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }

    /// <summary>Runs `ndif models ...`, which must fail, and returns its error.</summary>
    public async Task<string> RunFailingModelsCommandAsync(string? key, params string[] arguments)
    {
        await using ChildProcess tool = StartTool(["models", .. arguments, "--host", Grpc.ToString(), "--key", key ?? Key]);
        Assert.True(await tool.WaitForExitAsync() == 1, tool.FormatOutput());
        return tool.Errors;
    }

    /// <summary>Runs an experiment, and returns the checksums of its results and the states of its job.</summary>
    public async Task<(Dictionary<string, string> Results, List<JobState> States)> RunAsync(string experiment, string model,
        CancellationToken cancellationToken)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, Remote, model);
        List<JobState> states = [];
        recorded.Trace.OnEvent = jobEvent =>
        {
            if (jobEvent.State is { } state) states.Add(state);
        };
        return ((await recorded.RunAsync(cancellationToken)).ToDictionary(result => result.Key, result => result.Value.Checksum()), states);
    }

    /// <summary>
    /// The models that are loaded on a worker's device, as the sorted names of their folders; null if the worker is not alive.
    /// </summary>
    public async Task<string?> GetLoadedModelsAsync(string worker) =>
        (await Status.GetAsync(Remote, TestContext.Current.CancellationToken)).Workers.FirstOrDefault(w => w.Id == worker) is { } alive
            ? string.Join(' ', alive.Models.Select(m => Path.GetFileName(m)).Order(StringComparer.Ordinal)) : null;

    public Task WaitForLoadedModelsAsync(string worker, string? models) =>
        Poll.UntilAsync(() => GetLoadedModelsAsync(worker), loaded => loaded == models);

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _models.Dispose();
    }
}
