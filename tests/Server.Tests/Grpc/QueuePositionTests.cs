using System.Net.Sockets;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Grpc;

/// <summary>
/// Queue positions of waiting jobs, and clients that do not read. The tests run alone, because they measure memory.
/// </summary>
[CollectionDefinition(nameof(QueuePositionTests), DisableParallelization = true), Collection(nameof(QueuePositionTests))]
public sealed class QueuePositionTests
{
    [Fact]
    public async Task AWaitingJobsFollower_HearsItsPositionChange()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateFastOptions());
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        foreach (string id in (string[])["first", "second", "third", "unwatched"])
            await client.SubmitAsync(TestModels.Submit("echo", id), cancellationToken: TestGateway.Cancel);
        using var watch = client.Watch(new WatchRequest { JobId = "third" }, cancellationToken: TestGateway.Cancel);
        await WaitForPositionAsync(watch, 3);

        await client.CancelAsync(new CancelRequest { JobId = "first" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(2u, (await WaitForPositionAsync(watch, 2)).State.Position);
        await client.CancelAsync(new CancelRequest { JobId = "second" }, cancellationToken: TestGateway.Cancel);
        Event last = await WaitForPositionAsync(watch, 1);
        Assert.Equal(4ul, last.Sequence); // RECEIVED, QUEUED, and two more positions

        await client.CancelAsync(new CancelRequest { JobId = "third" }, cancellationToken: TestGateway.Cancel);
        await GrpcAssert.ReadAllAsync(watch.ResponseStream);
        // without a follower, no position is published
        Assert.Equal(
            2ul, (await client.GetJobAsync(new GetJobRequest { JobId = "unwatched" }, cancellationToken: TestGateway.Cancel)).LastSequence);
    }

    [Fact]
    public async Task ARunsClient_HearsItToo_AndAnEstimateOnceOneIsKnown()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(CreateFastOptions());
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        for (int i = 0; i < 4; i++)
            await client.SubmitAsync(TestModels.Submit("echo", $"before-{i}"), cancellationToken: TestGateway.Cancel);
        using var call = client.Run(cancellationToken: TestGateway.Cancel);
        await call.RequestStream.WriteAsync(TestModels.Run("echo", "mine"), TestGateway.Cancel);
        List<StateChanged> told = [];
        await foreach (Event jobEvent in call.ResponseStream.ReadAllAsync(TestGateway.Cancel))
        {
            if (jobEvent.State is not { State: JobState.Queued } state) continue;
            told.Add(state);
            if (state.Position == 1) break;
            Lease lease = (await gateway.Backend.Jobs.LeaseAsync("w", [TestGateway.Model], TimeSpan.Zero, TestGateway.Cancel))!;
            await Task.Delay(30, TestGateway.Cancel); // so that jobs have a duration
            await gateway.Backend.Jobs.PublishAsync(
                lease, new Event { State = new StateChanged { State = JobState.Completed } }, TestGateway.Cancel);
        }
        Assert.Equal([5u, 4u, 3u, 2u, 1u], told.Select(state => state.Position));
        Assert.Equal(0, told[0].WaitSeconds);
        Assert.All(told.Skip(2), state => Assert.InRange(state.WaitSeconds, 0.02 * state.Position, 10));
    }

    /// <summary>
    /// Thirty clients stop reading after some kilobytes. The gateway buffers little for them, other clients are not affected, and they are
    /// disconnected.
    /// </summary>
    [Fact]
    public async Task ClientsThatDoNotRead_CostLittle_HarmNobody_AndAreCutOff()
    {
        const int Stuck = 30, Lines = 160, Length = 500_000; // 80 MB per client if it were buffered
        await using TestGateway gateway = await TestGateway.StartAsync(CreateFastOptions());
        await using FakeWorker worker = gateway.StartWorker();
        Inference.InferenceClient client = await gateway.CreateClientAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        var headers = new Metadata { { "authorization", $"Bearer {key}" } };
        await gateway.CreateClient(key).SubmitAsync(
            TestModels.Submit($"flood {Lines} {Length}", "flood"), cancellationToken: TestGateway.Cancel);
        await gateway.WaitForEndAsync("flood");
        long before = GC.GetTotalMemory(forceFullCollection: true);

        List<GrpcChannel> channels = [];
        List<StalledStream> streams = [];
        List<Task> watching = [];
        for (int i = 0; i < Stuck; i++)
        {
            GrpcChannel channel = GrpcChannel.ForAddress(gateway.Address.Grpc, new GrpcChannelOptions
            {
                MaxReceiveMessageSize = null,
                HttpHandler = new SocketsHttpHandler
                {
                    InitialHttp2StreamWindowSize = 16 << 20,
                    ConnectCallback = async (context, cancel) =>
                    {
                        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 << 10 };
                        await socket.ConnectAsync(context.DnsEndPoint, cancel);
                        var stream = new StalledStream(new NetworkStream(socket, ownsSocket: true));
                        lock (streams) streams.Add(stream);
                        return stream;
                    },
                },
            });
            channels.Add(channel);
            AsyncServerStreamingCall<Event> watch = new Inference.InferenceClient(channel).Watch(
                new WatchRequest { JobId = "flood" }, headers, cancellationToken: TestGateway.Cancel);
            watching.Add(ReadToEndAsync(watch));
        }
        await Task.WhenAll(Waiting()).WaitAsync(TestGateway.Cancel);
        long during = GC.GetTotalMemory(forceFullCollection: true);
        Assert.InRange(during - before, long.MinValue, Stuck * 4L << 20); // one page and the data in flight, not 80 MB

        using var reader = gateway.CreateClient(key).Watch(new WatchRequest { JobId = "flood" }, cancellationToken: TestGateway.Cancel);
        Assert.Equal(Lines, (await GrpcAssert.ReadAllAsync(reader.ResponseStream)).Count(e => e.Log is not null));

        // after the timeout, the gateway has closed their streams
        while (gateway.Log.Events.Count(line => LogCapture.GetText(line).Contains("/Watch answered", StringComparison.Ordinal)) < Stuck + 1)
            await Task.Delay(50, TestGateway.Cancel);
        foreach (StalledStream stream in streams) stream.Dispose();
        foreach (GrpcChannel channel in channels) channel.Dispose();
        await Task.WhenAll(watching);

        Task[] Waiting()
        {
            lock (streams) return [.. streams.Select(stream => stream.Stalled)];
        }
    }

    private static GatewayOptions CreateFastOptions()
    {
        GatewayOptions options = TestGateway.CreateOptions();
        return new GatewayOptions { GrpcPort = 0, HttpPort = 0, LeaseCleanupInterval = options.LeaseCleanupInterval, Tiers = options.Tiers,
            QueuePositionInterval = TimeSpan.FromMilliseconds(20), StalledReaderTimeout = TimeSpan.FromSeconds(3) };
    }

    private static async Task<Event> WaitForPositionAsync(AsyncServerStreamingCall<Event> watch, uint position)
    {
        while (await watch.ResponseStream.MoveNext(TestGateway.Cancel))
            if (watch.ResponseStream.Current.State is { State: JobState.Queued } state && state.Position == position)
                return watch.ResponseStream.Current;
        throw new InvalidOperationException("The stream ended.");
    }

    private static async Task ReadToEndAsync(AsyncServerStreamingCall<Event> watch)
    {
        try
        {
            while (await watch.ResponseStream.MoveNext(TestGateway.Cancel)) { }
        }
        catch (RpcException)
        {
            // cut off
        }
    }

    /// <summary>A socket that stops reading after a while.</summary>
    private sealed class StalledStream(Stream inner) : Stream
    {
        private const int StallAfterBytes = 200_000;
        private readonly TaskCompletionSource _stalled = new(TaskCreationOptions.RunContinuationsAsynchronously), _released = new(
            TaskCreationOptions.RunContinuationsAsynchronously);
        private int _bytesRead;

        public Task Stalled => _stalled.Task;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_bytesRead >= StallAfterBytes)
            {
                _stalled.TrySetResult();
                await _released.Task.WaitAsync(cancellationToken);
                return 0;
            }
            int read = await inner.ReadAsync(buffer, cancellationToken);
            _bytesRead += read;
            return read;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            inner.WriteAsync(buffer, cancellationToken);
        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        protected override void Dispose(bool disposing)
        {
            _released.TrySetResult();
            if (disposing) inner.Dispose();
            base.Dispose(disposing);
        }

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Flush() => inner.Flush();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
