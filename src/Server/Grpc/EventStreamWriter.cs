using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>Events on their way to a client.</summary>
internal static class EventStreamWriter
{
    /// <summary>Returns when the event is on its way. A client that takes nothing for so long is cut off.</summary>
    /// <exception cref="OperationCanceledException">The client is gone, or was cut off.</exception>
    public static async Task WriteAsync(IServerStreamWriter<Event> responses, Event jobEvent, TimeSpan timeout, CancellationToken cancellationToken)
    {
        // HTTP/2's pings do not end a connection whose other side has stopped reading: Kestrel then waits to write its farewell
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        over.CancelAfter(timeout);
        await responses.SendAsync(jobEvent, over.Token);
        Telemetry.Events.Add(1, new KeyValuePair<string, object?>("kind", jobEvent.KindCase.ToString()));
        Telemetry.EventBytes.Add(jobEvent.CalculateSize());
    }

    /// <summary>True for a job's last event.</summary>
    public static bool IsFinalEvent(Event jobEvent, out JobState state)
    {
        state = jobEvent.State?.State ?? JobState.Unspecified;
        return state.IsTerminal();
    }
}
