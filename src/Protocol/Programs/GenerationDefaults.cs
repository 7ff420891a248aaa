using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>
/// How a model generates where its user does not say: generation_config.json, and where that is silent config.json's token ids and
/// Hugging Face's defaults. An option that is given always wins. max_length is passed over: it counts the prompt's tokens too, and how
/// many steps a generation has is part of the program.
/// </summary>
/// <param name="Options">In the form in which a user gives them; those of the files only.</param>
/// <param name="PadTokenId">What follows a row's end.</param>
/// <remarks>transformers/generation/configuration_utils.py</remarks>
public sealed record GenerationDefaults(Generation Options, int? BosTokenId, int? PadTokenId)
{
    /// <summary>New tokens of a row if neither user nor file says.</summary>
    public const int DefaultMaxNewTokens = 20;

    /// <summary>Hugging Face samples from so many tokens if neither user nor file says.</summary>
    public const int DefaultTopK = 50;

    /// <exception cref="NdifException">BAD_CHECKPOINT: an option of the file is of the wrong kind or out of its bounds.</exception>
    public static GenerationDefaults FromModel(ModelDescription model)
    {
        using JsonDocument file = Open("generation_config.json"), config = Open("config.json");
        try
        {
            var options = new Generation();
            if (Find("max_new_tokens") is { } most) options.MaxNewTokens = most.GetUInt32();
            if (Find("min_new_tokens") is { } least) options.MinNewTokens = least.GetUInt32();
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
                    _ => stopping.GetString() == "never" ? EarlyStopping.Never : throw new FormatException("early_stopping must be true, false or \"never\"."),
                };
            }
            if (Find("stop_strings") is { } stops) options.Stop.AddRange(stops.ValueKind is JsonValueKind.Array ? stops.EnumerateArray().Select(s => s.GetString()!) : [stops.GetString()!]);
            options.Eos.AddRange(Ids("eos_token_id").Select(id => (long)id));
            // a file may well hold a temperature for those who sample, and say that by default nobody does
            Generation bounds = options.Clone();
            bounds.ClearSample();
            GenerationOptionsValidator.Validate(bounds);
            return new GenerationDefaults(options, First("bos_token_id"), First("pad_token_id"));
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or NdifException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"generation_config.json of `{model.Id}` cannot be read: {e.Message}", inner: e);
        }

        JsonDocument Open(string name)
        {
            try
            {
                return JsonDocument.Parse(model.Files.TryGetValue(name, out var bytes) ? bytes.Memory : "{}"u8.ToArray(), new() { CommentHandling = JsonCommentHandling.Skip });
            }
            catch (JsonException e)
            {
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{name} of `{model.Id}` is not JSON: {e.Message}", inner: e);
            }
        }

        JsonElement? Find(string key, JsonDocument? within = null) =>
            (within ?? file).RootElement is { ValueKind: JsonValueKind.Object } root && root.TryGetProperty(key, out JsonElement value)
            && value.ValueKind is not JsonValueKind.Null ? value : null;

        int[] Ids(string key) => (Find(key) ?? Find(key, config)) is not { } ids ? []
            : ids.ValueKind is JsonValueKind.Array ? [.. ids.EnumerateArray().Select(id => id.GetInt32())] : [ids.GetInt32()];

        int? First(string key) => Ids(key) is [int first, ..] ? first : null;
    }
}
