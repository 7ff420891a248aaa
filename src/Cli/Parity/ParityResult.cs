using System.Text.Json;

namespace Ndif.Cli.Parity;

/// <summary>The result of comparing one checkpoint with its reference outputs. A value that was not compared is null.</summary>
internal sealed class ParityResult
{
    /// <summary>The largest absolute difference that passes where the reference has no larger error of its own.</summary>
    private const double MinTolerance = 2e-4;

    /// <summary>A difference passes up to this many errors of the reference: two implementations round differently.</summary>
    private const double ReferenceErrors = 4;

    /// <summary>The largest relative difference of a gradient that passes where the reference has no larger error of its own.</summary>
    public const double GradientTolerance = 1e-4;

    /// <summary>A relative difference of a gradient passes up to this many absolute errors of the reference's logits.</summary>
    private const double GradientReferenceErrors = 64;

    public required string Name { get; init; }

    public string Architecture { get; set; } = "";

    /// <summary>The largest absolute difference of the reference from the same model in double precision; 0 if it is not known.</summary>
    public double ReferenceError { get; set; }

    /// <summary>The largest absolute difference that passes.</summary>
    public double Tolerance => Math.Max(MinTolerance, ReferenceErrors * ReferenceError);

    /// <summary>The largest absolute difference of the logits.</summary>
    public double? Logits { get; set; }

    /// <summary>The largest absolute difference of the hidden states.</summary>
    public double? Hidden { get; set; }

    /// <summary>The largest absolute difference of the outputs and attentions of all module calls.</summary>
    public double? Calls { get; set; }

    /// <summary>The largest absolute difference of the logits of padded batches.</summary>
    public double? Batch { get; set; }

    /// <summary>The largest difference of a gradient, relative to the largest magnitude of the reference.</summary>
    public double? Gradients { get; set; }

    /// <summary>True if greedy decoding gives the same ids.</summary>
    public bool? Greedy { get; set; }

    /// <summary>True if the module tree and the parameters are the same.</summary>
    public bool? Tree { get; set; }

    /// <summary>True if the tokenizer gives the same ids.</summary>
    public bool? Tokenizer { get; set; }

    /// <summary>The exception or the structural differences; null if there are none.</summary>
    public string? Error { get; set; }

    /// <summary>True if the logits were compared, all compared values are equal or within tolerance, and there is no error.</summary>
    public bool Passed => Error is null && Logits is not null
        && ((double?[])[Logits, Hidden, Calls, Batch]).All(d => !(d > Tolerance))
        && !(Gradients > Math.Max(GradientTolerance, GradientReferenceErrors * ReferenceError))
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
