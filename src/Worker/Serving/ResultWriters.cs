using System.Threading.Channels;

namespace Ndif.Worker.Serving;

/// <summary>
/// Writes the large results of a worker's jobs, off the threads of the models. One result of an owner is written at a time, in their order,
/// and few of all owners: writing takes processor time from the models.
/// </summary>
internal sealed class ResultWriters
{
    private const int MaxWriters = 2;

    /// <summary>A result of this size gets a thread of its own.</summary>
    private const long LongBytes = 1 << 20;

    private readonly Channel<long> _writing = Channel.CreateBounded<long>(MaxWriters); // an entry for each that is being written
    private readonly OwnerWorkQueues _queues = new();

    /// <summary>Completes when a result is written.</summary>
    /// <param name="bytes">Its size.</param>
    /// <param name="write">Writes it; called on another thread.</param>
    public Task WriteAsync(string owner, long bytes, Action write, CancellationToken cancellationToken) =>
        _queues.RunAsync(owner, () => WriteAsync(bytes, write, cancellationToken), cancellationToken);

    private async Task WriteAsync(long bytes, Action write, CancellationToken cancellationToken)
    {
        await _writing.Writer.WriteAsync(bytes, cancellationToken); // waits for a place
        try
        {
            await (bytes < LongBytes ? Task.Run(write, cancellationToken) : OwnerWorkQueues.RunOnThreadAsync(write, cancellationToken));
        }
        finally
        {
            _writing.Reader.TryRead(out _);
        }
    }
}
