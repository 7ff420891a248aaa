using Microsoft.Extensions.Hosting;

namespace Ndif.Server.Hosting;

/// <summary>
/// Ends the long streams of a gateway that is being stopped, before Kestrel closes the connections under them. A .NET client loses
/// the status of a stream that it has not read yet when its connection closes ("The HTTP/2 server closed the connection"), so that
/// clients get a moment to read why, and what to do.
/// </summary>
internal sealed class StreamDrainer : IHostedLifecycleService, IDisposable
{
    private static readonly TimeSpan _clientReadDelay = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _pollInterval = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource _stopping = new();
    private int _openStreams;

    /// <summary>Cancelled when the gateway is being stopped.</summary>
    public CancellationToken StoppingToken => _stopping.Token;

    /// <summary>Counts a stream as open until it is disposed.</summary>
    public IDisposable TrackStream() => new StreamRegistration(this);

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        bool any = Volatile.Read(ref _openStreams) > 0;
        await _stopping.CancelAsync();
        while (Volatile.Read(ref _openStreams) > 0) await Task.Delay(_pollInterval, cancellationToken); // the host's shutdown time bounds this
        if (any) await Task.Delay(_clientReadDelay, cancellationToken);
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
            this._drainer = drainer;
            Interlocked.Increment(ref drainer._openStreams);
        }

        public void Dispose() => Interlocked.Decrement(ref _drainer._openStreams);
    }
}
