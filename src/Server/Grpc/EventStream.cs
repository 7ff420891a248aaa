using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>Events on their way to a client.</summary>
internal static class EventStream
{
    public static async Task WriteAsync(IServerStreamWriter<Event> responses, Event happening, CancellationToken cancellationToken)
    {
        await responses.SendAsync(happening, cancellationToken);
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
