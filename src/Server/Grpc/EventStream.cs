using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>Events on their way to a client.</summary>
internal static class EventStream
{
    /// <summary>Returns when the event is on its way. A client that takes nothing for so long is cut off.</summary>
    /// <exception cref="OperationCanceledException">The client is gone, or was cut off.</exception>
    public static async Task WriteAsync(IServerStreamWriter<Event> responses, Event happening, TimeSpan patience, CancellationToken cancellationToken)
    {
        // HTTP/2's pings do not end a connection whose other side has stopped reading: Kestrel then waits to write its farewell
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        over.CancelAfter(patience);
        await responses.SendAsync(happening, over.Token);
        Telemetry.Events.Add(1, new KeyValuePair<string, object?>("kind", happening.KindCase.ToString()));
        Telemetry.EventBytes.Add(happening.CalculateSize());
    }

    /// <summary>True for a job's last event.</summary>
    public static bool IsEnd(Event happening, out JobState state)
    {
        state = happening.State?.State ?? JobState.Unspecified;
        return state is JobState.Completed or JobState.Failed or JobState.Cancelled;
    }
}
