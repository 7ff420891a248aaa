using System.Text.Json;
using Ndif.Models;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>Compares how a module was called and what it gave: tuples, keywords, shapes and types, not numbers.</summary>
internal static class CallStructure
{
    // what the reference run asked for besides, and what only that brings
    private static readonly string[] _referenceFlags = ["output_attentions", "output_hidden_states", "return_dict"];
    private static readonly string[] _referenceOnlyOutputs = ["hidden_states", "attentions", "cross_attentions", "router_logits"];

    /// <returns>What differs, or null.</returns>
    public static string? Compare(RecordedCall ours, JsonElement reference, bool isBlock, bool isModel)
    {
        string expected = Describe(reference.GetProperty("input"));
        if (ours.Positional != expected) return $"is called with {ours.Positional}, not {expected}";

        string[] given = ours.Keywords;
        string[] named = [.. reference.GetProperty("kwargs").EnumerateArray().Select(k => k.GetString()!).Except(_referenceFlags)];
        // A model is given mask, positions and cache always; the reference was given ids alone.
        IEnumerable<string> odd = named.Except(given).Concat(isModel ? [] : given.Except(named));
        if (odd.Any()) return $"is called with the keywords {string.Join(", ", given)}, not {string.Join(", ", named)}";

        JsonElement output = reference.GetProperty("output");
        // Blocks are tuples with the hidden state first here, on every architecture; in Hugging Face's code it depends.
        if (isBlock) return Same(ours.Output, FirstTensor(output));
        if (ours.Result is ModelOutput result) return CompareItems(result, output);
        return Same(ours.Result, output);
    }

    private static string? CompareItems(ModelOutput ours, JsonElement reference)
    {
        foreach (JsonProperty item in reference.GetProperty("items").EnumerateObject().Where(i => !_referenceOnlyOutputs.Contains(i.Name)))
        {
            if (ours.Entries.All(e => e.Key != item.Name)) return $"gives no {item.Name}";
            if (Same(ours[item.Name], item.Value) is { } difference) return $"{difference} as {item.Name}";
        }
        return null;
    }

    private static string? Same(object? ours, JsonElement reference) =>
        Describe(ours) == Describe(reference) ? null : $"gives {Describe(ours)}, not {Describe(reference)}";

    /// <summary>"(float32[1, 12, 64], None)"</summary>
    public static string Describe(object? value) => value switch
    {
        null => "None",
        Tensor tensor => $"{Name(tensor.dtype)}[{string.Join(", ", tensor.shape)}]",
        object?[] tuple => $"({string.Join(", ", tuple.Select(Describe))})",
        KeyValueCache => "DynamicCache",
        long => "int",
        string => "str",
        _ => Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture) ?? "",
    };

    private static string Describe(JsonElement json)
    {
        if (json.TryGetProperty("tensor", out JsonElement shape))
            return $"{json.GetProperty("dtype").GetString()}[{string.Join(", ", shape.EnumerateArray().Select(s => s.GetInt64()))}]";
        if (json.TryGetProperty("value", out JsonElement value))
            return value.ValueKind == JsonValueKind.Null ? "None" : value.ToString();
        return $"({string.Join(", ", json.GetProperty("items").EnumerateArray().Select(Describe))})";
    }

    private static JsonElement FirstTensor(JsonElement output) =>
        output.TryGetProperty("tensor", out _) ? output : output.GetProperty("items")[0];

    private static string Name(ScalarType type) => type switch
    {
        ScalarType.Byte => "uint8",
        _ => type.ToString().ToLowerInvariant(),
    };
}
