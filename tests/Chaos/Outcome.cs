using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>What a client observed of a job, from its first submission to its end: a line of the history.</summary>
internal sealed record Outcome
{
    public required string Id { get; init; }

    public required string Work { get; init; }

    public JobState State { get; set; }

    /// <summary>Whether the job may be cancelled: its client requested that, or the stream of a blocking client broke.</summary>
    public bool Cancelling { get; set; }

    /// <summary>The RUNNING events.</summary>
    public List<AttemptStart> Runs { get; init; } = [];

    /// <summary>The times at which the job was queued: the first time, and after each loss of a worker.</summary>
    public List<DateTimeOffset> Queued { get; init; } = [];

    /// <summary>The time at which the job ended.</summary>
    public DateTimeOffset Ended { get; set; }

    /// <summary>Whether the client ran the job on one stream (`Run`).</summary>
    public bool Blocking { get; set; }

    /// <summary>Whether a second client followed the job at another gateway when the first one left.</summary>
    public bool Followed { get; set; }

    /// <summary>Whether Redis was restored from a backup during the job, so that the job or its end may be lost.</summary>
    public bool Restored { get; set; }

    /// <summary>The number, time and kind of the last event that came.</summary>
    public string LastEvent { get; set; } = "none";

    /// <summary>Descriptions of the violations.</summary>
    public List<string> Violations { get; set; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, OutcomeContext.Default.Outcome);

    public static Outcome Parse(string line) => JsonSerializer.Deserialize(line, OutcomeContext.Default.Outcome)!;
}

/// <summary>The start of an attempt: its worker, and its time by the clock of the queue, which is the clock of this machine.</summary>
internal sealed record AttemptStart(uint Attempt, string Worker, DateTimeOffset At);

[JsonSerializable(typeof(Outcome))]
[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
internal sealed partial class OutcomeContext : JsonSerializerContext;
