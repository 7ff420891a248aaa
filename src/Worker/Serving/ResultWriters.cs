using System.Threading.Channels;
using Ndif.Engine.Local;

namespace Ndif.Worker.Serving;

/// <summary>
/// Writes the large results of a worker's jobs, off the threads of the models. One result of an owner is written at a time, in their order,
/// and few of all owners: writing takes processor time from the models.
/// </summary>
internal sealed class ResultWriters
{
    private const int MaxWriters = 2;

    /// <summary>A result of this size gets a thread of its own, because it would occupy one of the thread pool for too long.</summary>
    private const long LongBytes = 1 << 20;

    /// <summary>A lower priority than that of the models.</summary>
    private const int Niceness = 10;

    private readonly Channel<string> _writing = Channel.CreateBounded<string>(MaxWriters); // an entry for each that is being written
    private readonly Dictionary<string, Task> _last = []; // by owner

    /// <summary>Completes when a result is written.</summary>
    /// <param name="bytes">Its size.</param>
    /// <param name="write">Writes it; called on another thread.</param>
    public Task WriteAsync(string owner, long bytes, Action write, CancellationToken cancellationToken)
    {
        lock (_last)
        {
            Task written = WriteAfterAsync(_last.GetValueOrDefault(owner, Task.CompletedTask), owner, bytes, write, cancellationToken);
            _last[owner] = written;
            _ = ForgetAsync(owner, written);
            return written;
        }
    }

    private async Task WriteAfterAsync(
        Task previous, string owner, long bytes, Action write, CancellationToken cancellationToken)
    {
        await previous.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _writing.Writer.WriteAsync(owner, cancellationToken); // waits for a place
        try
        {
            if (bytes < LongBytes) await Task.Run(write, cancellationToken);
            else
                await Task.Factory.StartNew(() =>
                {
                    ThreadNiceness.Set(Niceness);
                    write();
                }, cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        finally
        {
            _writing.Reader.TryRead(out _);
        }
    }

    private async Task ForgetAsync(string owner, Task written)
    {
        await written.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_last)
            if (_last.GetValueOrDefault(owner) == written) _last.Remove(owner);
    }
}
