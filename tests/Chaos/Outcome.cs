using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>What a client saw of a job, from its first submission to its end: a line of the history.</summary>
internal sealed record Outcome
{
    public required string Id { get; init; }

    public required string Work { get; init; }

    public JobState State { get; set; }

    /// <summary>Whether the client asked for its cancellation.</summary>
    public bool Cancelling { get; set; }

    /// <summary>Each RUNNING event.</summary>
    public List<AttemptStart> Runs { get; init; } = [];

    /// <summary>When it was put into the line, at first and again.</summary>
    public List<DateTimeOffset> Queued { get; init; } = [];

    /// <summary>When it ended.</summary>
    public DateTimeOffset Ended { get; set; }

    /// <summary>Whether its client ran it on one stream (`Run`), and whether that broke before the end.</summary>
    public bool Blocking { get; set; }

    /// <summary>What must not be, in words.</summary>
    public List<string> Violations { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this, OutcomeContext.Default.Outcome);

    public static Outcome Parse(string line) => JsonSerializer.Deserialize(line, OutcomeContext.Default.Outcome)!;
}

/// <summary>A job began to run: where, and when by the queue's clock, which is this machine's.</summary>
internal sealed record AttemptStart(uint Attempt, string Worker, DateTimeOffset At);

[JsonSerializable(typeof(Outcome))]
[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
internal sealed partial class OutcomeContext : JsonSerializerContext;
