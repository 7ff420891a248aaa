using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Ndif.Protocol;
using Ndif.Queue;
using Serilog;

namespace Ndif.Server.Tests;

/// <summary>A real gateway on loopback over a real in-memory queue, with a key file and a log that keeps every line of every level.</summary>
internal sealed class TestGateway : IAsyncDisposable
{
    public const string Model = "openai-community/gpt2";

    private readonly List<IDisposable> clients = [];

    private TestGateway(string folder, QueueBackend backend, KeyService keys, LogLines lines, WebApplication app)
    {
        Folder = folder;
        Backend = backend;
        Keys = keys;
        Lines = lines;
        App = app;
        Address = GatewayHost.AddressOf(app);
    }

    public string Folder { get; }
    public QueueBackend Backend { get; }
    public KeyService Keys { get; }
    public LogLines Lines { get; }
    public WebApplication App { get; }
    public GatewayAddress Address { get; }
    public SettableTime Time { get; private init; } = new();

    public static async Task<TestGateway> StartAsync(
        GatewayOptions? options = null, ProgramRules? rules = null, QueueOptions? queue = null)
    {
        string folder = Directory.CreateTempSubdirectory("ndif-server-tests-").FullName;
        var time = new SettableTime();
        QueueBackend backend = QueueBackend.InMemory(
            queue ?? new QueueOptions { HeartbeatLifetime = TimeSpan.FromHours(1) }, new BlobOptions { Root = Path.Combine(folder, "blobs") }, time);
        await backend.Workers.DescribeAsync(TestModels.Gpt2, Cancel);
        await backend.Workers.AnnounceAsync(
            new WorkerStatus { Id = "worker-1", Models = { Model }, Jobs = { "secret-job-id" }, Device = "cpu", Version = "0.1.0" },
            [TestModels.Gpt2Status], Cancel);
        var lines = new LogLines();
        var store = new FileKeyStore(Path.Combine(folder, "keys.json"));
        WebApplication app = GatewayHost.Build(
            options ?? Options(), backend, store, rules ?? TestModels.Rules,
            new LoggerConfiguration().MinimumLevel.Verbose().Enrich.FromLogContext().WriteTo.Sink(lines).CreateLogger(), time);
        await app.StartAsync(Cancel);
        return new TestGateway(folder, backend, new KeyService(store, time), lines, app) { Time = time };
    }

    /// <summary>Free ports, and the shortest intervals for what happens now and then.</summary>
    public static GatewayOptions Options(
        bool anonymous = false, int messageBytes = 64 << 20, int nodes = 100_000, int jobsInFlight = 64, long constantBytes = 4L << 30,
        long blobBytes = 4L << 30, int tokens = 1_000_000, int jobsPerMinute = 100_000, int queueDepth = 100_000) => new()
        {
            GrpcPort = 0,
            HttpPort = 0,
            AllowAnonymous = anonymous,
            MessageBytes = messageBytes,
            Nodes = nodes,
            ConstantBytes = constantBytes,
            BlobBytes = blobBytes,
            Tokens = tokens,
            QueueDepth = queueDepth,
            QueueShare = 1,
            ReapInterval = TimeSpan.FromMilliseconds(20),
            Tiers = new Dictionary<string, Tier> { ["standard"] = new(1, jobsInFlight, jobsPerMinute), ["priority"] = new(4, jobsInFlight * 2, jobsPerMinute) },
        };

    /// <summary>A token that ends with the test, or after a minute.</summary>
    public static CancellationToken Cancel => CancellationTokenSource.CreateLinkedTokenSource(
        TestContext.Current.CancellationToken, new CancellationTokenSource(TimeSpan.FromMinutes(1)).Token).Token;

    public async Task<CreatedKey> KeyAsync(string name = "ada", string[]? scopes = null, string[]? models = null, TimeSpan? lifetime = null) =>
        await Keys.CreateAsync(name, scopes ?? [Scopes.Run], models: models, lifetime: lifetime, cancellationToken: Cancel);

    /// <summary>A client with a new key of its own.</summary>
    public async Task<Inference.InferenceClient> ClientAsync() => Client((await KeyAsync()).Key.Reveal());

    public Inference.InferenceClient Client(string? key) => new(Invoker(key));

    public CallInvoker Invoker(string? key, int? receive = null)
    {
        GrpcChannel channel = GrpcChannel.ForAddress(Address.Grpc, new GrpcChannelOptions { MaxReceiveMessageSize = receive, MaxSendMessageSize = null });
        clients.Add(channel);
        return key is null ? channel.CreateCallInvoker() : channel.Intercept(metadata =>
        {
            metadata.Add("authorization", $"Bearer {key}");
            return metadata;
        });
    }

    public HttpClient Http(string? key = null)
    {
        var client = new HttpClient { BaseAddress = Address.Http };
        if (key is not null) client.DefaultRequestHeaders.Authorization = new("Bearer", key);
        clients.Add(client);
        return client;
    }

    /// <summary>A worker that runs until it is disposed.</summary>
    public FakeWorker Work() => new(Backend);

    public async ValueTask DisposeAsync()
    {
        foreach (IDisposable client in clients) client.Dispose();
        await App.DisposeAsync();
        await Backend.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
