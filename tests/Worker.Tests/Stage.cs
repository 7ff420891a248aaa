using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Models;
using Ndif.Models.Tests;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Tests;

/// <summary>Workers of this process on a queue in memory, with small models of random weights in folders.</summary>
internal sealed class Stage : IAsyncDisposable
{
    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, (Task Running, CancellationTokenSource Stop)> _workers = [];
    private readonly Dictionary<string, Task> _watches = [];
    private readonly List<(string Job, JobState State)> _states = [];
    private int _jobs;

    public Stage()
    {
        Backend = QueueBackend.InMemory(new QueueOptions { HeartbeatLifetime = TimeSpan.FromSeconds(1), LeaseDuration = TimeSpan.FromSeconds(5) },
            new BlobOptions { Root = _folder.File("blobs") });
        Size = WeighedModel.Of(NewModel("probe"), null, new LoadOptions(), Cancel).Bytes;
    }

    public QueueBackend Backend { get; }

    /// <summary>The bytes of each model's weights.</summary>
    public long Size { get; }

    /// <summary>What the workers logged.</summary>
    public LogLines Lines { get; } = new();

    public static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>A model with random weights; its name is its folder's.</summary>
    public string NewModel(string name, int width = 16, int layers = 2)
    {
        using var files = new TempFolder();
        TinyModel.Write(files, TinyModel.GPT2(width: width, layers: layers), seed: name.Sum(c => c));
        string path = _folder.File(name);
        Directory.CreateDirectory(path);
        foreach (string file in Directory.EnumerateFiles(files.Path)) File.Copy(file, Path.Combine(path, Path.GetFileName(file)));
        return path;
    }

    /// <summary>Starts a worker whose budget holds so many of the models.</summary>
    public async Task StartAsync(string id = "w1", double holds = 2, double keepsWarm = 0, Func<WorkerOptions, WorkerOptions>? with = null)
    {
        var options = new WorkerOptions
        {
            Id = id, Memory = (long)(holds * Size), WarmMemory = (long)(keepsWarm * Size), MinResidence = TimeSpan.Zero, Heartbeat = TimeSpan.FromMilliseconds(50),
            FailurePause = TimeSpan.FromMinutes(1), Grace = TimeSpan.Zero, RenewEvery = TimeSpan.FromSeconds(1),
        };
        var worker = new ModelWorker(with?.Invoke(options) ?? options, Backend, new Logger<ModelWorker>(Lines));
        var stop = new CancellationTokenSource();
        _workers.Add(id, (worker.RunAsync(stopping: stop.Token), stop));
        await worker.Ready.WaitAsync(Cancel);
    }

    /// <summary>Completes when the worker has left.</summary>
    public Task WorkerAsync(string id = "w1") => _workers[id].Running.WaitAsync(TimeSpan.FromSeconds(60), Cancel);

    public void Stop(string id = "w1") => _workers[id].Stop.Cancel();

    public Task DeployAsync(string model, bool pinned = false, uint replicas = 1, DataType dtype = DataType.Unspecified) =>
        Backend.Deployments.SetAsync(new Deployment { Model = model, Pinned = pinned, Replicas = replicas, Dtype = dtype }, Cancel);

    /// <summary>Queues a pass over three tokens, or so many operations of about a millisecond.</summary>
    public Task<string> SubmitAsync(string model, int operations = 0) => SubmitAsync(model, operations == 0 ? Programs.Pass(model) : Programs.Work(model, operations));

    public async Task<string> SubmitAsync(string model, Program program, TimeSpan? limit = null)
    {
        string id = $"job{Interlocked.Increment(ref _jobs)}";
        await Backend.Jobs.SubmitAsync(new JobSubmission(id, "ana", model, Google.Protobuf.MessageExtensions.ToByteArray(program), TimeLimit: limit), Cancel);
        _watches[id] = NoteAsync(id);
        return id;
    }

    /// <summary>Runs a job to its end, which must be a good one.</summary>
    public async Task<List<Event>> RunAsync(string model)
    {
        List<Event> events = await EventsAsync(await SubmitAsync(model));
        Assert.True(events[^1].State.State is JobState.Completed, events[^1].ToString());
        return events;
    }

    /// <summary>All events of a job, once it has ended.</summary>
    public async Task<List<Event>> EventsAsync(string job)
    {
        List<Event> events = [];
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        patience.CancelAfter(TimeSpan.FromSeconds(60));
        try
        {
            await foreach (Event happening in Backend.Jobs.WatchAsync(job, 1, patience.Token)) events.Add(happening);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested)
        {
            Assert.Fail($"{job} has not ended: {string.Join(", ", events)}\n{Lines}");
        }
        return events;
    }

    public async Task<StateChanged> EndAsync(string job) => (await EventsAsync(job))[^1].State;

    public static JobState[] StatesOf(IEnumerable<Event> events) => [.. events.Where(e => e.State is not null).Select(e => e.State.State)];

    /// <summary>Waits until a job is in a state, or has been.</summary>
    public async Task ReachesAsync(string job, JobState state)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        patience.CancelAfter(TimeSpan.FromSeconds(60));
        await foreach (Event happening in Backend.Jobs.WatchAsync(job, 1, patience.Token))
            if (happening.State?.State == state) return;
        Assert.Fail($"{job} ended before it was {state}.\n{Lines}");
    }

    /// <summary>The states of all jobs in the order in which they were told.</summary>
    public (string Job, JobState State)[] States
    {
        get
        {
            lock (_states) return [.. _states];
        }
    }

    /// <summary>The models that a worker holds on its device, by their folders' names, in order.</summary>
    public async Task<string> HotAsync(string worker = "w1") =>
        string.Join(' ', (await Backend.Workers.WorkersAsync(Cancel)).SingleOrDefault(w => w.Id == worker)?.Models.Select(m => Path.GetFileName(m)).Order(StringComparer.Ordinal) ?? Enumerable.Empty<string>());

    public async Task<ModelStatus?> StatusAsync(string model) => (await Backend.Workers.ModelsAsync(Cancel)).SingleOrDefault(m => m.Id == model);

    /// <summary>Asks until it is so.</summary>
    public async Task UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isSo)
    {
        long deadline = Environment.TickCount64 + 30_000;
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        while (true)
        {
            T answer = await ask();
            if (isSo(answer)) return;
            if (Environment.TickCount64 > deadline) Assert.Fail($"It did not become so; the last answer was: {answer}\n{Lines}");
            await tick.WaitForNextTickAsync(Cancel);
        }
    }

    public Task HoldsAsync(string models, string worker = "w1") => UntilAsync(() => HotAsync(worker), hot => hot == models);

    public async ValueTask DisposeAsync()
    {
        foreach ((_, CancellationTokenSource stop) in _workers.Values) await stop.CancelAsync();
        foreach ((Task running, CancellationTokenSource stop) in _workers.Values)
        {
            await running.WaitAsync(TimeSpan.FromSeconds(60), CancellationToken.None);
            stop.Dispose();
        }
        await Backend.DisposeAsync();
        await Task.WhenAll(_watches.Values).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _folder.Dispose();
    }

    private async Task NoteAsync(string job)
    {
        await foreach (Event happening in Backend.Jobs.WatchAsync(job, 1, Cancel))
            if (happening.State is { } state)
                lock (_states) _states.Add((job, state.State));
    }
}

/// <summary>Keeps what is logged, for a failure's message and for counting.</summary>
internal sealed class LogLines : ILoggerFactory, ILogger
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

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_lines) _lines.Add(formatter(state, exception));
    }

    public override string ToString()
    {
        lock (_lines) return string.Join('\n', _lines);
    }

    public void Dispose() { }
}
