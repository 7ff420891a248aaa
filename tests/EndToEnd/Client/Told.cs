using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Protocol;

namespace Ndif.EndToEnd;

/// <summary>One line that a client process tells the test that started it, as JSON.</summary>
public sealed record Told
{
    /// <summary>"job", "event", "result", "error" or "end".</summary>
    public required string What { get; init; }

    /// <summary>A job's id, a result's name, an exception's type.</summary>
    public string Name { get; init; } = "";

    public JobState? State { get; init; }

    public ulong Sequence { get; init; }

    public string Worker { get; init; } = "";

    public uint Attempt { get; init; }

    /// <summary>An event or exception in words, a result's shape.</summary>
    public string Text { get; init; } = "";

    /// <summary>Of a result's bytes.</summary>
    public string Checksum { get; init; } = "";

    public string Json() => JsonSerializer.Serialize(this, ToldContext.Default.Told);

    public static Told Parse(string line) => JsonSerializer.Deserialize(line, ToldContext.Default.Told)!;

    public static Told Of(JobEvent happening) => new()
    {
        What = "event", Sequence = happening.Sequence, State = happening.State, Worker = happening.Raw.State?.Worker ?? "",
        Attempt = happening.Raw.State?.Attempt ?? 0, Text = happening.ToString(),
    };

    public static Told Of(string name, TensorData result) => new()
    {
        What = "result", Name = name, Text = $"[{string.Join(", ", result.Shape.ToArray())}]", Checksum = result.Checksum(),
    };

    public static Told Of(Exception failure) => new() { What = "error", Name = failure.GetType().Name, Text = failure.Message };
}

[JsonSerializable(typeof(Told))]
[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
internal sealed partial class ToldContext : JsonSerializerContext;
