using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;

namespace Ndif.Worker.Tests.Support;

/// <summary>Runs workers in this process on an in-memory queue, with small models of random weights.</summary>
internal sealed class WorkerTestCluster : IAsyncDisposable
{
    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, (Task Running, CancellationTokenSource Stop)> _workers = [];
    private readonly Dictionary<string, Task> _watchers = [];
    private readonly List<(string Job, JobState State)> _states = [];
    private int _jobs;

    public WorkerTestCluster()
    {
        Backend = QueueBackend.InMemory(
            new QueueOptions { HeartbeatLifetime = TimeSpan.FromSeconds(1), LeaseDuration = TimeSpan.FromSeconds(5) },
            new BlobOptions { Root = _folder.File("blobs") });
        ModelBytes = ModelFootprint.Measure(NewModel("probe"), null, new LoadOptions(), Cancel).Bytes;
    }

    public QueueBackend Backend { get; }

    /// <summary>The size of the weights of each model, in bytes.</summary>
    public long ModelBytes { get; }

    /// <summary>The log messages of the workers.</summary>
    public CapturedLogs Logs { get; } = new();

    public static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Creates a model with random weights; its id is its folder.</summary>
    public string NewModel(string name, int hiddenSize = 16, int layers = 2)
    {
        using var files = new TempFolder();
        TinyModel.Write(files, TinyModel.GPT2(hiddenSize: hiddenSize, layers: layers), seed: name.Sum(c => c));
        string path = _folder.File(name);
        Directory.CreateDirectory(path);
        foreach (string file in Directory.EnumerateFiles(files.Path)) File.Copy(file, Path.Combine(path, Path.GetFileName(file)));
        return path;
    }

    /// <summary>Starts a worker with memory for a number of models.</summary>
    /// <param name="blobs">Its blob store, if it is not that of the cluster.</param>
    /// <param name="endProcess">Called in place of the end of the process by the watchdog; null for no watchdog.</param>
    public async Task StartWorkerAsync(
        string id = "w1", double modelCapacity = 2, double offloadCapacity = 0, Func<WorkerOptions, WorkerOptions>? configure = null,
        IBlobStore? blobs = null, Action? endProcess = null)
    {
        var options = new WorkerOptions
        {
            Id = id, Memory = (long)(modelCapacity * ModelBytes), WarmMemory = (long)(offloadCapacity * ModelBytes),
                MinResidence = TimeSpan.Zero, HeartbeatInterval = TimeSpan.FromMilliseconds(50),
            LoadRetryDelay = TimeSpan.FromMinutes(1), ShutdownGracePeriod = TimeSpan.Zero, LeaseRenewalInterval = TimeSpan.FromSeconds(1),
        };
        QueueBackend backend = blobs is null ? Backend : Backend with { Blobs = blobs };
        var worker = new ModelWorker(
            configure?.Invoke(options) ?? options, backend, new Logger<ModelWorker>(Logs), endProcess: endProcess);
        var stop = new CancellationTokenSource();
        _workers.Add(id, (worker.RunAsync(stopping: stop.Token), stop));
        await worker.Ready.WaitAsync(Cancel);
    }

    /// <summary>Completes when the worker has exited.</summary>
    public Task WaitForWorkerAsync(string id = "w1") => _workers[id].Running.WaitAsync(TimeSpan.FromSeconds(60), Cancel);

    public void StopWorker(string id = "w1") => _workers[id].Stop.Cancel();

    public Task DeployAsync(string model, bool pinned = false, uint replicas = 1, DataType dtype = DataType.Unspecified) =>
        Backend.Deployments.SetAsync(new Deployment { Model = model, Pinned = pinned, Replicas = replicas, Dtype = dtype }, Cancel);

    /// <summary>Submits a forward pass over three tokens, or a number of operations of about a millisecond each.</summary>
    public Task<string> SubmitAsync(string model, int operations = 0) =>
        SubmitAsync(model, operations == 0 ? TestPrograms.ForwardPass(model) : TestPrograms.ManyOperations(model, operations));

    public async Task<string> SubmitAsync(
        string model, Program program, TimeSpan? limit = null, string owner = "ana", long? maxResultBytes = null)
    {
        string id = $"job{Interlocked.Increment(ref _jobs)}";
        await Backend.Jobs.SubmitAsync(
            new JobSubmission(
                id, owner, model, Google.Protobuf.MessageExtensions.ToByteArray(program), TimeLimit: limit, MaxResultBytes: maxResultBytes),
            Cancel);
        _watchers[id] = RecordStatesAsync(id);
        return id;
    }

    /// <summary>Runs a job, which must complete.</summary>
    public async Task<List<Event>> RunAsync(string model)
    {
        List<Event> events = await GetEventsAsync(await SubmitAsync(model));
        Assert.True(events[^1].State.State is JobState.Completed, events[^1].ToString());
        return events;
    }

    /// <summary>Waits for the end of a job and returns its events.</summary>
    public async Task<List<Event>> GetEventsAsync(string job)
    {
        List<Event> events = [];
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        timeout.CancelAfter(TimeSpan.FromSeconds(60));
        try
        {
            await foreach (Event jobEvent in Backend.Jobs.WatchAsync(job, 1, timeout.Token)) events.Add(jobEvent);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            Assert.Fail($"{job} has not ended: {string.Join(", ", events)}\n{Logs}");
        }
        return events;
    }

    public async Task<StateChanged> WaitForEndAsync(string job) => (await GetEventsAsync(job))[^1].State;

    public static JobState[] GetStates(IEnumerable<Event> events) => [.. events.Where(e => e.State is not null).Select(e => e.State.State)];

    /// <summary>Waits until a job is, or was, in a state.</summary>
    public async Task WaitForStateAsync(string job, JobState state)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        timeout.CancelAfter(TimeSpan.FromSeconds(60));
        await foreach (Event jobEvent in Backend.Jobs.WatchAsync(job, 1, timeout.Token))
            if (jobEvent.State?.State == state) return;
        Assert.Fail($"{job} ended before it was {state}.\n{Logs}");
    }

    /// <summary>Returns the states of all jobs in the order in which they were published.</summary>
    public (string Job, JobState State)[] States
    {
        get
        {
            lock (_states) return [.. _states];
        }
    }

    /// <summary>Returns the folder names of the models on a worker's device, sorted.</summary>
    public async Task<string> GetLoadedModelsAsync(string worker = "w1") =>
        string.Join(' ', (await Backend.Workers.ListWorkersAsync(Cancel)).SingleOrDefault(w => w.Id == worker)?.Models.Select(
            m => Path.GetFileName(m)).Order(StringComparer.Ordinal) ?? Enumerable.Empty<string>());

    public async Task<ModelStatus?> GetStatusAsync(string model) =>
        (await Backend.Workers.ListModelsAsync(Cancel)).SingleOrDefault(m => m.Id == model);

    /// <summary>Polls until a condition is true.</summary>
    public Task WaitUntilAsync<T>(Func<Task<T>> query, Func<T, bool> condition) =>
        Poll.UntilAsync(query, condition, describeFailure: Logs.ToString);

    public Task WaitForLoadedModelsAsync(string models, string worker = "w1") =>
        WaitUntilAsync(() => GetLoadedModelsAsync(worker), hot => hot == models);

    public async ValueTask DisposeAsync()
    {
        foreach ((_, CancellationTokenSource stop) in _workers.Values) await stop.CancelAsync();
        foreach ((Task running, CancellationTokenSource stop) in _workers.Values)
        {
            if (!running.IsFaulted) await running.WaitAsync(TimeSpan.FromSeconds(60), CancellationToken.None);
            stop.Dispose();
        }
        await Backend.DisposeAsync();
        await Task.WhenAll(_watchers.Values).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _folder.Dispose();
    }

    private async Task RecordStatesAsync(string job)
    {
        await foreach (Event jobEvent in Backend.Jobs.WatchAsync(job, 1, Cancel))
            if (jobEvent.State is { } state)
                lock (_states) _states.Add((job, state.State));
    }
}

/// <summary>Collects log messages, for the messages of failed tests and for counting.</summary>
internal sealed class CapturedLogs : ILoggerFactory, ILogger
{
    private readonly List<string> _lines = [];

    public int Count(string text)
    {
        lock (_lines) return _lines.Count(line => line.Contains(text, StringComparison.Ordinal));
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) { }

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => NullLogger.Instance.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_lines) _lines.Add(formatter(state, exception));
    }

    public override string ToString()
    {
        lock (_lines) return string.Join('\n', _lines);
    }

    public void Dispose() { }
}
