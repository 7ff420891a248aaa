using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Client;

/// <summary>A line of JSON that a client process writes for the test that started it.</summary>
public sealed record ClientMessage
{
    /// <summary>"job", "event", "result", "error" or "end".</summary>
    public required string Kind { get; init; }

    /// <summary>The id of a job, the name of a result, or the type of an exception.</summary>
    public string Name { get; init; } = "";

    public JobState? State { get; init; }

    public ulong Sequence { get; init; }

    public string Worker { get; init; } = "";

    public uint Attempt { get; init; }

    /// <summary>The text of an event or exception, or the shape of a result.</summary>
    public string Text { get; init; } = "";

    /// <summary>The checksum of a result's bytes.</summary>
    public string Checksum { get; init; } = "";

    public string ToJson() => JsonSerializer.Serialize(this, ClientMessageContext.Default.ClientMessage);

    public static ClientMessage Parse(string line) => JsonSerializer.Deserialize(line, ClientMessageContext.Default.ClientMessage)!;

    public static ClientMessage From(JobEvent jobEvent) => new()
    {
        Kind = "event", Sequence = jobEvent.Sequence, State = jobEvent.State, Worker = jobEvent.Raw.State?.Worker ?? "",
        Attempt = jobEvent.Raw.State?.Attempt ?? 0, Text = jobEvent.ToString(),
    };

    public static ClientMessage From(string name, TensorData result) => new()
    {
        Kind = "result", Name = name, Text = $"[{string.Join(", ", result.Shape.ToArray())}]", Checksum = result.Checksum(),
    };

    public static ClientMessage From(Exception exception) => new()
    {
        Kind = "error",
        Name = exception.GetType().Name,
        Text = exception.Message,
    };
}

[JsonSerializable(typeof(ClientMessage))]
[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
internal sealed partial class ClientMessageContext : JsonSerializerContext;
