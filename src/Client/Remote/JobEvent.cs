using System.Globalization;
using Ndif.Protocol;

namespace Ndif;

/// <summary>One event of a job, in the order of <see cref="Sequence"/>.</summary>
public sealed class JobEvent(Event jobEvent)
{
    /// <summary>The event as a message.</summary>
    public Event Raw { get; } = jobEvent;

    /// <summary>The number of the event, from 1 without gaps; 0 in a local run.</summary>
    public ulong Sequence => Raw.Sequence;

    /// <summary>The new state of the job; null for an event of another kind.</summary>
    public JobState? State => Raw.KindCase is Event.KindOneofCase.State ? Raw.State.State : null;

    /// <summary>The position of the job in the queue, 1 for the next one; null for an event of another kind.</summary>
    public int? Position => Raw.State?.State is JobState.Queued ? (int)Raw.State.Position : null;

    /// <summary>The estimated waiting time; null for an event of another kind, and while the service cannot estimate it.</summary>
    public TimeSpan? Wait =>
        Raw.State is { State: JobState.Queued, WaitSeconds: > 0 } state ? TimeSpan.FromSeconds(state.WaitSeconds) : null;

    /// <summary>The new tokens of the event, several if they followed each other quickly; empty for an event of another kind.</summary>
    public IReadOnlyList<GeneratedToken> Tokens => Raw.KindCase switch
    {
        Event.KindOneofCase.Token => [GeneratedToken.FromProto(Raw.Token)],
        Event.KindOneofCase.Tokens => [.. Raw.Tokens.Tokens.Select(GeneratedToken.FromProto)],
        _ => [],
    };

    /// <summary>The event as a line of text, such as "queued (position 3)".</summary>
    public override string ToString() => Raw.KindCase switch
    {
        Event.KindOneofCase.State => FormatState(Raw.State),
        Event.KindOneofCase.Log => $"log: {Raw.Log.Text}",
        Event.KindOneofCase.Value => $"value: {(Raw.Value.Name.Length > 0 ? Raw.Value.Name : $"%{Raw.Value.Node}")}",
        Event.KindOneofCase.Warning => $"warning: {Raw.Warning.Message}",
        Event.KindOneofCase.Token or Event.KindOneofCase.Tokens => string.Join('\n', Tokens.Select(token => $"token: {token.Text}")),
        Event.KindOneofCase.Local => "asks the client",
        Event.KindOneofCase.Restart => $"starts over (attempt {Raw.Restart.Attempt})",
        Event.KindOneofCase.Progress => string.Create(CultureInfo.InvariantCulture,
            $"{Raw.Progress.What} {(Raw.Progress.Total == 0 ? 0 : 100.0 * Raw.Progress.Done / Raw.Progress.Total):0}%"),
        _ => "",
    };

    private static string FormatState(StateChanged state) => state.State switch
    {
        JobState.Queued => string.Create(CultureInfo.InvariantCulture,
            $"queued (position {state.Position}{(state.WaitSeconds > 0 ? $", about {state.WaitSeconds:0.#} s" : "")})"
            + $"{(state.Notice.Length > 0 ? $": {state.Notice}" : "")}"),
        JobState.Running when state.Attempt > 1 => $"running (attempt {state.Attempt})",
        JobState.Failed => $"failed: {state.Error.Message}",
        JobState.Cancelled => state.Error is { Message.Length: > 0 } ? $"cancelled: {state.Error.Message}" : "cancelled",
        _ => state.State.ToString().ToLowerInvariant(),
    };
}
