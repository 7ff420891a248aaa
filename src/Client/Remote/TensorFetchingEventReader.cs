using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// Reads the events of a stream in order and downloads their large tensors. While the tensors of one event are downloaded, the next event
/// is read and its download starts, so that the connection is not idle between two events.
/// </summary>
internal sealed class TensorFetchingEventReader(RemoteService service, IAsyncStreamReader<Event> events, EventStreamCursor cursor,
    CancellationToken cancellationToken) : IAsyncDisposable
{
    /// <summary>The number of events with downloads in progress.</summary>
    private const int MaxConcurrentEvents = 2;

    private readonly CancellationTokenSource _disposal = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    private readonly Queue<(Event Event, Task Filled)> _pending = [];
    private Task<bool>? _pendingRead;
    private bool _hasEnded;

    /// <summary>The next event that was not received before; null after the job's last one, and at the end of the stream.</summary>
    public async Task<Event?> ReadNextAsync()
    {
        while (!_hasEnded || _pending.Count > 0)
        {
            if (!_hasEnded && _pending.Count < MaxConcurrentEvents) _pendingRead ??= events.MoveNext(_disposal.Token);
            if (_pending.TryPeek(out var first)
                && (_pendingRead is null || first.Filled.IsCompleted || await Task.WhenAny(first.Filled, _pendingRead) == first.Filled))
            {
                await first.Filled;
                return _pending.Dequeue().Event;
            }
            if (_pending.Count > 0 && !_pendingRead!.IsCompletedSuccessfully)
            {
                _hasEnded = true; // the events that were received before the failure are returned first
                continue;
            }
            _hasEnded = !await _pendingRead!;
            _pendingRead = null;
            if (_hasEnded) continue;
            Event next = events.Current;
            if (!cursor.HasReceived(next)) _pending.Enqueue((next, FetchTensorsAsync(next)));
            _hasEnded = next.IsTerminal();
        }
        if (_pendingRead is not null) await _pendingRead;
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        await _disposal.CancelAsync();
        foreach ((_, Task download) in _pending) await download.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // the read ends when the call is disposed
        _ = _pendingRead
            ?.ContinueWith(read => read.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        _disposal.Dispose();
    }

    private async Task FetchTensorsAsync(Event jobEvent)
    {
        if (jobEvent.KindCase is Event.KindOneofCase.Value)
            await BlobDownloader.FetchTensorsAsync(service, jobEvent.Value.Data, _disposal.Token);
        foreach (Data value in jobEvent.Local?.Values ?? []) await BlobDownloader.FetchTensorsAsync(service, value, _disposal.Token);
    }
}
