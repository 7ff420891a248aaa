using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// A stream's events with their large tensors, in order. While the tensors of one event are under way, the next event is read and its
/// tensors are asked for, so that the way is not empty between two.
/// </summary>
internal sealed class FilledEvents(RemoteService service, IAsyncStreamReader<Event> events, Contact contact, CancellationToken cancellationToken) : IAsyncDisposable
{
    /// <summary>Events whose tensors are under way at the same time.</summary>
    private const int Most = 2;

    private readonly CancellationTokenSource _leaving = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    private readonly Queue<(Event Event, Task Filled)> _begun = [];
    private Task<bool>? _reading;
    private bool _hasEnded;

    /// <summary>The next event that was not heard before; null after the job's last one, and at the end of the stream.</summary>
    public async Task<Event?> NextAsync()
    {
        while (!_hasEnded || _begun.Count > 0)
        {
            if (!_hasEnded && _begun.Count < Most) _reading ??= events.MoveNext(_leaving.Token);
            if (_begun.TryPeek(out var first) && (_reading is null || first.Filled.IsCompleted || await Task.WhenAny(first.Filled, _reading) == first.Filled))
            {
                await first.Filled;
                return _begun.Dequeue().Event;
            }
            if (_begun.Count > 0 && !_reading!.IsCompletedSuccessfully)
            {
                _hasEnded = true; // what came before the loss is told first
                continue;
            }
            _hasEnded = !await _reading!;
            _reading = null;
            if (_hasEnded) continue;
            Event next = events.Current;
            if (!contact.HasHeard(next)) _begun.Enqueue((next, FillAsync(next)));
            _hasEnded = Contact.IsLast(next);
        }
        if (_reading is not null) await _reading;
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        await _leaving.CancelAsync();
        foreach (Task left in _begun.Select(begun => begun.Filled)) await left.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ = _reading?.ContinueWith(over => over.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default); // ends with the call
        _leaving.Dispose();
    }

    private async Task FillAsync(Event happening)
    {
        if (happening.KindCase is Event.KindOneofCase.Value) await BlobDownload.FillAsync(service, happening.Value.Data, _leaving.Token);
        foreach (Data value in happening.Local?.Values ?? []) await BlobDownload.FillAsync(service, value, _leaving.Token);
    }
}
