using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>
/// The options of a generation that its user does not set: those of generation_config.json, then the token ids of config.json, then
/// Hugging Face's defaults. An option that the user sets takes precedence. max_length is ignored: it counts the prompt's tokens too, and
/// the number of steps is part of the program.
/// </summary>
/// <param name="Options">The options that the model's files set.</param>
/// <param name="PadTokenId">The token that follows the end of a row.</param>
/// <remarks>transformers/generation/configuration_utils.py</remarks>
public sealed record GenerationDefaults(Generation Options, int? BosTokenId, int? PadTokenId)
{
    /// <summary>The number of new tokens of a row if neither the user nor a file sets it.</summary>
    public const int DefaultMaxNewTokens = 20;

    /// <summary>The number of tokens to sample from if neither the user nor a file sets it, as in Hugging Face transformers.</summary>
    public const int DefaultTopK = 50;

    /// <exception cref="NdifException">BAD_CHECKPOINT: an option of the file is of the wrong kind or out of its bounds.</exception>
    public static GenerationDefaults FromModel(ModelDescription model)
    {
        using JsonDocument file = Open("generation_config.json"), config = Open("config.json");
        try
        {
            var options = new Generation();
            if (Find("max_new_tokens") is { } maxNewTokens) options.MaxNewTokens = maxNewTokens.GetUInt32();
            if (Find("min_new_tokens") is { } minNewTokens) options.MinNewTokens = minNewTokens.GetUInt32();
            if (Find("do_sample") is { } sample) options.Sample = sample.GetBoolean();
            if (Find("temperature") is { } temperature) options.Temperature = temperature.GetDouble();
            if (Find("top_k") is { } topK) options.TopK = topK.GetUInt32();
            if (Find("top_p") is { } topP) options.TopP = topP.GetDouble();
            if (Find("min_p") is { } minP) options.MinP = minP.GetDouble();
            if (Find("typical_p") is { } typicalP) options.TypicalP = typicalP.GetDouble();
            if (Find("repetition_penalty") is { } penalty) options.RepetitionPenalty = penalty.GetDouble();
            if (Find("no_repeat_ngram_size") is { } ngram) options.NoRepeatNgram = ngram.GetUInt32();
            if (Find("num_beams") is { } beams) options.Beams = beams.GetUInt32();
            if (Find("num_return_sequences") is { } sequences) options.ReturnSequences = sequences.GetUInt32();
            if (Find("length_penalty") is { } length) options.LengthPenalty = length.GetDouble();
            if (Find("early_stopping") is { } stopping)
            {
                options.EarlyStopping = stopping.ValueKind switch
                {
                    JsonValueKind.True => EarlyStopping.WhenFull,
                    JsonValueKind.False => EarlyStopping.Heuristic,
                    _ when stopping.GetString() == "never" => EarlyStopping.Never,
                    _ => throw new FormatException("early_stopping must be true, false or \"never\"."),
                };
            }
            if (Find("stop_strings") is { } stops)
            {
                options.Stop.AddRange(
                    stops.ValueKind is JsonValueKind.Array ? stops.EnumerateArray().Select(s => s.GetString()!) : [stops.GetString()!]);
            }
            options.Eos.AddRange(Ids("eos_token_id").Select(id => (long)id));
            // A file may set a temperature for sampling and still have sampling off by default.
            Generation bounds = options.Clone();
            bounds.ClearSample();
            GenerationOptionsValidator.Validate(bounds);
            return new GenerationDefaults(options, First("bos_token_id"), First("pad_token_id"));
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or NdifException)
        {
            throw BadFile($"generation_config.json of `{model.Id}` cannot be read: {e.Message}", e);
        }

        JsonDocument Open(string name)
        {
            try
            {
                return JsonDocument.Parse(
                    model.Files.TryGetValue(name, out var bytes) ? bytes.Memory : "{}"u8.ToArray(),
                    new() { CommentHandling = JsonCommentHandling.Skip });
            }
            catch (JsonException e)
            {
                throw BadFile($"{name} of `{model.Id}` is not JSON: {e.Message}", e);
            }
        }

        JsonElement? Find(string key, JsonDocument? within = null) =>
            (within ?? file).RootElement is { ValueKind: JsonValueKind.Object } root && root.TryGetProperty(key, out JsonElement value)
            && value.ValueKind is not JsonValueKind.Null ? value : null;

        int[] Ids(string key) => (Find(key) ?? Find(key, config)) is not { } ids ? []
            : ids.ValueKind is JsonValueKind.Array ? [.. ids.EnumerateArray().Select(id => id.GetInt32())] : [ids.GetInt32()];

        int? First(string key) => Ids(key) is [int first, ..] ? first : null;
    }

    private static Exception BadFile(string message, Exception inner) =>
        Errors.CreateException(ErrorCode.BadCheckpoint, message, inner: inner);
}
