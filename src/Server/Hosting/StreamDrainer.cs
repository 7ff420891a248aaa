using Microsoft.Extensions.Hosting;

namespace Ndif.Server.Hosting;

/// <summary>
/// Ends open streams when the gateway shuts down, before Kestrel closes their connections. A .NET client that has not yet read the status
/// of a stream loses it when the connection closes ("The HTTP/2 server closed the connection"), so clients get a moment to read the status
/// and its hint:
/// 1. The gateway begins to stop: <see cref="StoppingToken"/> is cancelled, and every handler ends its stream with an error.
/// 2. Wait until all tracked streams have ended.
/// 3. Wait for the clients to read the status, then let Kestrel close the connections.
/// </summary>
internal sealed class StreamDrainer : IHostedLifecycleService, IDisposable
{
    private static readonly TimeSpan _clientReadDelay = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _pollInterval = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource _stopping = new();
    private int _openStreams;

    /// <summary>Cancelled when the gateway begins to stop.</summary>
    public CancellationToken StoppingToken => _stopping.Token;

    /// <summary>Counts a stream as open until the returned object is disposed.</summary>
    public IDisposable TrackStream() => new StreamRegistration(this);

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        bool hadStreams = Volatile.Read(ref _openStreams) > 0;
        await _stopping.CancelAsync(); // 1
        while (Volatile.Read(ref _openStreams) > 0) await Task.Delay(_pollInterval, cancellationToken); // 2, up to the shutdown timeout
        if (hadStreams) await Task.Delay(_clientReadDelay, cancellationToken); // 3
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _stopping.Dispose();

    private sealed class StreamRegistration : IDisposable
    {
        private readonly StreamDrainer _drainer;

        public StreamRegistration(StreamDrainer drainer)
        {
            _drainer = drainer;
            Interlocked.Increment(ref drainer._openStreams);
        }

        public void Dispose() => Interlocked.Decrement(ref _drainer._openStreams);
    }
}
