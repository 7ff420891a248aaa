using System.Text.Json;
using Ndif.Models;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// Compares the structure of a module call with the reference: tuples, keyword names, shapes and types, but not the values of tensors.
/// </summary>
internal static class CallStructure
{
    // The keywords that only the reference run passed, and the outputs that exist only because of them.
    private static readonly string[] _referenceFlags = ["output_attentions", "output_hidden_states", "return_dict"];
    private static readonly string[] _referenceOnlyOutputs =
        ["hidden_states", "attentions", "cross_attentions", "router_logits", "encoder_hidden_states", "encoder_attentions",
        "decoder_hidden_states", "decoder_attentions"];

    // The masks of attention to all tokens. The reference run passed no mask, so it has none; this engine always passes one.
    private static readonly string[] _maskKeywords = ["attention_mask", "mask", "encoder_attention_mask"];

    /// <summary>Compares a call with its reference.</summary>
    /// <returns>The difference, as the end of a sentence that starts with the name of the module; null if there is none.</returns>
    public static string? Compare(RecordedCall actual, JsonElement reference, bool isBlock, bool isModel)
    {
        string[] expected = [.. reference.GetProperty("input").GetProperty("items").EnumerateArray().Select(Describe)];
        // transformers passes the ids of a model by position or by keyword, as the model's caller does
        bool isByKeyword = isModel && (actual.Positional.Length == 0 || expected.Length == 0);
        // the reference run left the positions to the embeddings; this engine passes them
        bool isEmbeddings = actual.Module.Name == "embeddings";
        bool isSame = actual.Positional.Length == expected.Length && actual.Positional.Zip(expected).All(pair =>
            pair.First == pair.Second || (pair.Second == "None" && (isEmbeddings || IsMask(pair.First))));
        if (!isSame && !isByKeyword)
            return $"is called with ({string.Join(", ", actual.Positional)}), not ({string.Join(", ", expected)})";

        string[] keywords = actual.Keywords;
        string[] expectedKeywords =
            [.. reference.GetProperty("kwargs").EnumerateArray().Select(k => k.GetString()!).Except(_referenceFlags)];
        // This engine always passes mask, positions and cache to a model. The reference run passed only the ids.
        // Modules that keep a state in themselves in transformers receive the cache here.
        IEnumerable<string> unmatched = expectedKeywords.Except(keywords).Except(isByKeyword ? ["input_ids"] : [])
            .Concat(isModel ? [] : keywords.Except(expectedKeywords).Except([.. actual.NullKeywords, .. _maskKeywords, "past_key_values"])
                .Except(isEmbeddings ? ["position_ids"] : []));
        if (unmatched.Any())
            return $"is called with the keywords {string.Join(", ", keywords)}, not {string.Join(", ", expectedKeywords)}";

        JsonElement output = reference.GetProperty("output");
        // Here, a block of any architecture returns a tuple that starts with the hidden states. In transformers, some return a tensor.
        if (isBlock) return CompareValue(actual.Output, FirstTensor(output));
        if (actual.Result is ModelOutput result) return CompareItems(result, output);
        return CompareValue(actual.Result, output);
    }

    /// <summary>Whether a description is that of a mask [1, 1, seq, kvSeq].</summary>
    private static bool IsMask(string description) => description.StartsWith("float32[1, 1, ", StringComparison.Ordinal);

    private static string? CompareItems(ModelOutput actual, JsonElement reference)
    {
        foreach (JsonProperty item in reference.GetProperty("items").EnumerateObject().Where(i => !_referenceOnlyOutputs.Contains(i.Name)))
        {
            if (actual.Entries.All(e => e.Key != item.Name)) return $"returns no {item.Name}";
            if (CompareValue(actual[item.Name], item.Value) is { } difference) return $"{difference} as {item.Name}";
        }
        return null;
    }

    private static string? CompareValue(object? actual, JsonElement reference) =>
        Describe(actual) == Describe(reference) ? null : $"returns {Describe(actual)}, not {Describe(reference)}";

    /// <summary>Describes the structure of a value, for example "(float32[1, 12, 64], None)".</summary>
    public static string Describe(object? value) => value switch
    {
        null => "None",
        Tensor tensor => $"{Name(tensor.dtype)}[{string.Join(", ", tensor.shape)}]",
        object?[] tuple => $"({string.Join(", ", tuple.Select(Describe))})",
        KeyValueCache => "DynamicCache",
        bool => "bool",
        long => "int",
        string => "str",
        _ => Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture) ?? "",
    };

    private static string Describe(JsonElement json)
    {
        if (json.TryGetProperty("tensor", out JsonElement shape))
            return $"{json.GetProperty("dtype").GetString()}[{string.Join(", ", shape.EnumerateArray().Select(s => s.GetInt64()))}]";
        if (json.TryGetProperty("value", out JsonElement value))
        {
            string text = value.ValueKind == JsonValueKind.Null ? "None" : value.ToString();
            return text.EndsWith("Cache", StringComparison.Ordinal) ? "DynamicCache" : text; // some architectures have a class of their own
        }
        if (json.GetProperty("kind").GetString() == "list"
            && json.GetProperty("items").EnumerateArray().All(item => item.TryGetProperty("tensor", out _)))
            return "DynamicCache"; // the tensors of RWKV's state
        return $"({string.Join(", ", json.GetProperty("items").EnumerateArray().Select(Describe))})";
    }

    private static JsonElement FirstTensor(JsonElement output) =>
        output.TryGetProperty("tensor", out _) ? output : output.GetProperty("items")[0];

    private static string Name(ScalarType type) => type switch
    {
        ScalarType.Byte => "uint8",
        ScalarType.ComplexFloat32 => "complex64",
        _ => type.ToString().ToLowerInvariant(),
    };
}
