using System.Globalization;
using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>The values of generation options that consist of token ids: their form in generation_config.json, and their text.</summary>
internal static class GenerationOptionValues
{
    private const int MaxTextLength = 120;

    /// <summary>Reads a value of a message type of generation.proto.</summary>
    /// <param name="messageName">The name of the type: "TokenRow", ...</param>
    /// <exception cref="FormatException">The value has another form.</exception>
    /// <exception cref="InvalidOperationException">An item of the value is of another kind.</exception>
    public static object Read(string messageName, JsonElement value)
    {
        switch (messageName)
        {
            case nameof(TokenRow):
                return ReadTokens(value.ValueKind is JsonValueKind.Number ? [value] : value.EnumerateArray());
            case nameof(TokenRows):
                return new TokenRows { Rows = { value.EnumerateArray().Select(row => ReadTokens(row.EnumerateArray())) } };
            case nameof(SequenceBiases):
                return new SequenceBiases { Biases = { value.EnumerateArray().Select(ReadBias) } };
            case nameof(ExponentialDecay) when value.ValueKind is JsonValueKind.Array && value.GetArrayLength() == 2:
                return new ExponentialDecay { Start = value[0].GetUInt32(), Factor = value[1].GetDouble() };
            default:
                throw new FormatException($"It is no {messageName}.");
        }
    }

    /// <summary>The token ids of a value; none if it is no value of token ids.</summary>
    public static IEnumerable<long> TokenIds(object value) => value switch
    {
        long id => [id],
        TokenRow row => row.Ids,
        TokenRows rows => rows.Rows.SelectMany(row => row.Ids),
        SequenceBiases biases => biases.Biases.SelectMany(bias => bias.Ids),
        _ => [],
    };

    /// <summary>A value as it would be in generation_config.json, shortened.</summary>
    public static string Describe(object value)
    {
        string text = value switch
        {
            TokenRow row => List(row.Ids),
            TokenRows rows => $"[{string.Join(", ", rows.Rows.Select(row => List(row.Ids)))}]",
            SequenceBiases biases => $"[{string.Join(", ", biases.Biases.Select(bias => $"[{List(bias.Ids)}, {Number(bias.Bias)}]"))}]",
            ExponentialDecay decay => $"[{decay.Start}, {Number(decay.Factor)}]",
            Enum => ((int)value).ToString(CultureInfo.InvariantCulture),
            _ => string.Create(CultureInfo.InvariantCulture, $"{value}"),
        };
        return text.Length <= MaxTextLength ? text : $"{text.AsSpan(0, MaxTextLength)}...";
    }

    private static string List(IEnumerable<long> ids) => $"[{string.Join(", ", ids)}]";

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static TokenRow ReadTokens(IEnumerable<JsonElement> ids) => new() { Ids = { ids.Select(id => (long)id.GetInt32()) } };

    private static SequenceBias ReadBias(JsonElement pair)
    {
        if (pair.GetArrayLength() != 2) throw new FormatException("A sequence has no bias.");
        return new SequenceBias { Ids = { ReadTokens(pair[0].EnumerateArray()).Ids }, Bias = pair[1].GetDouble() };
    }
}
