using System.Text.Json;

namespace Ndif.Cli.Parity;

/// <summary>How one checkpoint compares with its reference: differences, and what must be equal. Null was not compared.</summary>
internal sealed class ParityResult
{
    /// <summary>The largest absolute difference that passes, and the largest relative one of a gradient.</summary>
    public const double Tolerance = 2e-4, GradientTolerance = 1e-4;

    public required string Name { get; init; }

    public string Architecture { get; set; } = "";

    /// <summary>Largest absolute differences.</summary>
    public double? Logits { get; set; }

    public double? Hidden { get; set; }

    public double? Calls { get; set; }

    public double? Batch { get; set; }

    /// <summary>Relative to the largest magnitude of the reference.</summary>
    public double? Gradients { get; set; }

    public bool? Greedy { get; set; }

    public bool? Tree { get; set; }

    public bool? Tokenizer { get; set; }

    public string? Error { get; set; }

    /// <summary>Logits were compared, everything that was is near enough or equal, and nothing failed.</summary>
    public bool Passed => Error is null && Logits is not null
        && ((double?[])[Logits, Hidden, Calls, Batch]).All(d => d is not > Tolerance) && Gradients is not > GradientTolerance
        && ((bool?[])[Greedy, Tree, Tokenizer]).All(equal => equal is not false);

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("name", Name);
        json.WriteString("architecture", Architecture);
        json.WriteBoolean("passed", Passed);
        Number("logits", Logits);
        Number("hidden", Hidden);
        Number("calls", Calls);
        Number("batch", Batch);
        Number("gradients", Gradients);
        Flag("greedy", Greedy);
        Flag("tree", Tree);
        Flag("tokenizer", Tokenizer);
        json.WriteString("error", Error);
        json.WriteEndObject();

        void Number(string key, double? value)
        {
            if (value is { } number) json.WriteNumber(key, number);
            else json.WriteNull(key);
        }

        void Flag(string key, bool? value)
        {
            if (value is { } flag) json.WriteBoolean(key, flag);
            else json.WriteNull(key);
        }
    }
}
