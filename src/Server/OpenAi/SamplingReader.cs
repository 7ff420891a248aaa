using System.Globalization;
using System.Text.Json;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.OpenAi;

/// <summary>
/// Reads the fields that both endpoints have. Where a request does not set them, temperature and top_p are 1 as OpenAI documents, whatever
/// the model's generation_config.json says; the other options of that file apply.
/// </summary>
internal static class SamplingReader
{
    private const int MaxStops = 4, MaxBiases = 1024;

    /// <summary>Below it, the likeliest token has all of the probability, and scores would become infinite.</summary>
    private const double MinTemperature = 1e-5;

    public static Generation ReadSampling(RequestFields fields)
    {
        double temperature = fields.GetNumber("temperature", 0, 2) ?? 1;
        double topP = fields.GetNumber("top_p", 0, 1) ?? 1;
        var sampling = new Generation { Stream = true, Beams = 1, Sample = temperature >= MinTemperature };
        if (sampling.Sample) (sampling.Temperature, sampling.TopP, sampling.TopK) = (temperature, topP, 0);
        if (fields.GetLong("seed") is { } seed) sampling.Seed = unchecked((ulong)seed);
        foreach (string penalty in (string[])["presence_penalty", "frequency_penalty"])
            if (fields.GetNumber(penalty, -2, 2) is not (null or 0))
                throw OpenAiException.Unsupported(penalty, $"`{penalty}` is not supported: leave it out, or set it to 0.");
        ReadBias(fields, sampling);
        return sampling;
    }

    /// <summary>Texts that end a choice: one, or a list of up to four.</summary>
    public static IReadOnlyList<string> ReadStop(RequestFields fields)
    {
        if (fields.Find("stop") is not { } value) return [];
        JsonElement[] items = value.ValueKind is JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        if (items.Length > MaxStops)
            throw OpenAiException.Invalid(
                "stop", $"Invalid value for `stop`: it has {items.Length} texts; at most {MaxStops} are allowed.");
        string[] stops = [.. items.Select(item => RequestFields.GetString(item, "stop"))];
        if (Array.Find(stops, stop => stop.Length is 0 or > GenerationOptionsValidator.MaxStopStringLength) is { } bad)
            throw OpenAiException.Invalid(
                "stop", $"Invalid value for `stop`: a text has {bad.Length} characters; it must have 1 to "
                + $"{GenerationOptionsValidator.MaxStopStringLength}.");
        return stops;
    }

    /// <summary>Reads <c>stream</c> and <c>stream_options</c>.</summary>
    public static (bool Stream, bool IncludeUsage) ReadStream(RequestFields fields)
    {
        bool stream = fields.GetBoolean("stream");
        if (fields.Find("stream_options") is not { } options) return (stream, false);
        if (!stream) throw OpenAiException.Invalid("stream_options", "`stream_options` is only allowed when `stream` is true.");
        if (options.ValueKind is not JsonValueKind.Object) throw RequestFields.WrongType("stream_options", "an object");
        return (true, options.TryGetProperty("include_usage", out JsonElement usage) && usage.ValueKind is JsonValueKind.True);
    }

    /// <summary>Reads <c>logit_bias</c>: a bias from -100 to 100 for each of some token ids.</summary>
    private static void ReadBias(RequestFields fields, Generation sampling)
    {
        if (fields.Find("logit_bias") is not { } biases) return;
        if (biases.ValueKind is not JsonValueKind.Object) throw RequestFields.WrongType("logit_bias", "an object");
        if (biases.GetPropertyCount() > MaxBiases)
            throw OpenAiException.Invalid("logit_bias", $"Invalid value for `logit_bias`: it has {biases.GetPropertyCount()} entries; at "
                + $"most {MaxBiases} are allowed.");
        foreach (JsonProperty bias in biases.EnumerateObject())
        {
            if (!int.TryParse(bias.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id)
                || bias.Name is ['0', _, ..]) // "01" would be a second bias of token 1
                throw OpenAiException.Invalid(
                    "logit_bias", $"Invalid key in `logit_bias`: {ServerErrors.Truncate(bias.Name)} is no token id.");
            if (bias.Value.ValueKind is not JsonValueKind.Number || !bias.Value.TryGetDouble(out double value)
                || value is not (>= -100 and <= 100))
                throw OpenAiException.Invalid(
                    "logit_bias", $"Invalid value in `logit_bias`: that of token {id} is not between -100 and 100.");
            sampling.SequenceBias ??= new SequenceBiases();
            sampling.SequenceBias.Biases.Add(new SequenceBias { Ids = { id }, Bias = value });
        }
    }
}
