using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>Writes the events of a job to the response stream of a client.</summary>
internal static class EventStreamWriter
{
    /// <summary>Writes an event. Returns when HTTP/2 flow control has accepted it.</summary>
    /// <exception cref="OperationCanceledException">The client has disconnected, or has read nothing within the timeout.</exception>
    public static async Task WriteAsync(
        IServerStreamWriter<Event> responses, Event jobEvent, TimeSpan timeout, CancellationToken cancellationToken)
    {
        await responses.SendAsync(jobEvent, timeout, cancellationToken);
        Telemetry.Events.Add(1, new KeyValuePair<string, object?>("kind", jobEvent.KindCase.ToString()));
        Telemetry.EventBytes.Add(jobEvent.CalculateSize());
    }

    /// <summary>Returns whether this is the last event of a job.</summary>
    public static bool IsFinalEvent(Event jobEvent, out JobState state)
    {
        state = jobEvent.State?.State ?? JobState.Unspecified;
        return state.IsTerminal();
    }
}
