using Microsoft.Extensions.Hosting;

namespace Ndif.Server;

/// <summary>
/// Ends the long streams of a gateway that is being stopped, before Kestrel closes the connections under them. A .NET client loses
/// the status of a stream that it has not read yet when its connection closes ("The HTTP/2 server closed the connection"), so that
/// clients get a moment to read why, and what to do.
/// </summary>
internal sealed class Farewell : IHostedLifecycleService, IDisposable
{
    private static readonly TimeSpan ReadingTime = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(10);

    private readonly CancellationTokenSource stopping = new();
    private int open;

    /// <summary>Cancelled when the gateway is being stopped.</summary>
    public CancellationToken Token => stopping.Token;

    /// <summary>Counts a stream as open until it is disposed.</summary>
    public IDisposable Enter() => new Visit(this);

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        bool any = Volatile.Read(ref open) > 0;
        await stopping.CancelAsync();
        while (Volatile.Read(ref open) > 0) await Task.Delay(Glance, cancellationToken); // the host's shutdown time bounds this
        if (any) await Task.Delay(ReadingTime, cancellationToken);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => stopping.Dispose();

    private sealed class Visit : IDisposable
    {
        private readonly Farewell host;

        public Visit(Farewell host)
        {
            this.host = host;
            Interlocked.Increment(ref host.open);
        }

        public void Dispose() => Interlocked.Decrement(ref host.open);
    }
}
