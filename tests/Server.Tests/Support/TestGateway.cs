using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Queue.Blobs;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Serilog;

namespace Ndif.Server.Tests.Support;

/// <summary>
/// A real gateway on loopback with a real in-memory queue, a key file, and a log that collects messages of all levels.
/// </summary>
internal sealed class TestGateway : IAsyncDisposable
{
    public const string Model = "openai-community/gpt2";

    private readonly List<IDisposable> _clients = [];

    private TestGateway(string folder, QueueBackend backend, KeyService keys, LogCapture log, WebApplication app)
    {
        Folder = folder;
        Backend = backend;
        Keys = keys;
        Log = log;
        App = app;
        Address = GatewayHost.GetAddress(app);
    }

    public string Folder { get; }
    public QueueBackend Backend { get; }
    public KeyService Keys { get; }
    public LogCapture Log { get; }
    public WebApplication App { get; }
    public GatewayAddress Address { get; }
    public AdjustableTimeProvider Time { get; private init; } = new();

    public static async Task<TestGateway> StartAsync(
        GatewayOptions? options = null, QueueOptions? queue = null, Func<QueueBackend, QueueBackend>? configure = null)
    {
        string folder = Directory.CreateTempSubdirectory("ndif-server-tests-").FullName;
        var time = new AdjustableTimeProvider();
        QueueBackend backend = QueueBackend.InMemory(
            queue ?? new QueueOptions { HeartbeatLifetime = TimeSpan.FromHours(1) },
            new BlobOptions { Root = Path.Combine(folder, "blobs") }, time);
        await backend.Workers.SetDescriptionAsync(TestModels.Gpt2, Cancel);
        await backend.Workers.PublishHeartbeatAsync(
            new WorkerStatus { Id = "worker-1", Models = { Model }, Jobs = { "secret-job-id" }, Device = "cpu", Version = "0.1.0" },
            [TestModels.Gpt2Status], Cancel);
        var lines = new LogCapture();
        var store = new FileKeyStore(Path.Combine(folder, "keys.json"));
        WebApplication app = GatewayHost.Build(
            options ?? CreateOptions(), configure?.Invoke(backend) ?? backend, store,
            new LoggerConfiguration().MinimumLevel.Verbose().Enrich.FromLogContext().WriteTo.Sink(lines).CreateLogger(), time);
        await app.StartAsync(Cancel);
        return new TestGateway(folder, backend, new KeyService(store, time), lines, app) { Time = time };
    }

    /// <summary>Options with free ports and short intervals of the periodic services.</summary>
    public static GatewayOptions CreateOptions(
        bool anonymous = false, int messageBytes = 64 << 20, int nodes = 100_000, int jobsInFlight = 64, long constantBytes = 4L << 30,
        long blobBytes = 4L << 30, int tokens = 1_000_000, int jobsPerMinute = 100_000, int queueDepth = 100_000,
        int keylessRequestsPerSecond = 200) => new()
        {
            GrpcPort = 0,
            HttpPort = 0,
            AllowAnonymous = anonymous,
            KeylessRequestsPerSecond = keylessRequestsPerSecond,
            MessageBytes = messageBytes,
            Nodes = nodes,
            ConstantBytes = constantBytes,
            BlobBytes = blobBytes,
            Tokens = tokens,
            QueueDepth = queueDepth,
            QueueShare = 1,
            LeaseCleanupInterval = TimeSpan.FromMilliseconds(20),
            Tiers = new Dictionary<string, Tier> { ["standard"] = new(1, jobsInFlight, jobsPerMinute),
                ["priority"] = new(4, jobsInFlight * 2, jobsPerMinute) },
        };

    /// <summary>Cancelled at the end of the test, or after a minute.</summary>
    public static CancellationToken Cancel => CancellationTokenSource.CreateLinkedTokenSource(
        TestContext.Current.CancellationToken, new CancellationTokenSource(TimeSpan.FromMinutes(1)).Token).Token;

    public async Task<CreatedKey> CreateKeyAsync(
        string name = "ada", string[]? scopes = null, string[]? models = null, TimeSpan? lifetime = null) =>
        await Keys.CreateAsync(name, scopes ?? [Scopes.Run], models: models, lifetime: lifetime, cancellationToken: Cancel);

    /// <summary>Creates a client with a new key.</summary>
    public async Task<Inference.InferenceClient> CreateClientAsync() => CreateClient((await CreateKeyAsync()).Key.Reveal());

    public Inference.InferenceClient CreateClient(string? key) => new(CreateInvoker(key));

    public CallInvoker CreateInvoker(string? key, int? maxReceiveBytes = null)
    {
        GrpcChannel channel = GrpcChannel.ForAddress(
            Address.Grpc, new GrpcChannelOptions { MaxReceiveMessageSize = maxReceiveBytes, MaxSendMessageSize = null });
        _clients.Add(channel);
        return key is null ? channel.CreateCallInvoker() : channel.Intercept(metadata =>
        {
            metadata.Add("authorization", $"Bearer {key}");
            return metadata;
        });
    }

    public HttpClient CreateHttpClient(string? key = null)
    {
        var client = new HttpClient { BaseAddress = Address.Http };
        if (key is not null) client.DefaultRequestHeaders.Authorization = new("Bearer", key);
        _clients.Add(client);
        return client;
    }

    /// <summary>Starts a worker that runs until it is disposed.</summary>
    public FakeWorker StartWorker() => new(Backend);

    /// <summary>The job that its owner knows by this id, with its id in the queue; null if there is none.</summary>
    public async Task<JobInfo?> FindJobAsync(string id) => (await Backend.Jobs.ListAsync("", 1000, activeOnly: false, Cancel))
        .SingleOrDefault(job => QueueJobIds.GetOwnersId(job.Id) == id);

    /// <summary>Waits until the job that its owner knows by this id has ended in the queue, and returns its state.</summary>
    public async Task<StateChanged> WaitForEndAsync(string id)
    {
        StateChanged? last = null;
        await foreach (Event jobEvent in Backend.Jobs.WatchAsync((await FindJobAsync(id))!.Id, 1, Cancel)) last = jobEvent.State ?? last;
        return last!;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IDisposable client in _clients) client.Dispose();
        await App.DisposeAsync();
        await Backend.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
