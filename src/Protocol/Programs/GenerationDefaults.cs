using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>
/// The options of a generation that its user does not set: those of generation_config.json, then the token ids of config.json, then
/// Hugging Face's defaults. max_length is ignored: it counts the tokens of the prompt too, and the number of steps of a generation is
/// part of the program.
/// </summary>
/// <param name="Options">The options that the model's files set.</param>
/// <param name="BosTokenId">The token that begins a sequence; null if the files name none.</param>
/// <param name="PadTokenId">The token that follows the end of a row; null if the files name none.</param>
/// <remarks>transformers/generation/configuration_utils.py</remarks>
public sealed record GenerationDefaults(Generation Options, int? BosTokenId, int? PadTokenId)
{
    /// <summary>
    /// The number of new tokens of a row if neither the user nor a file sets it. Hugging Face's default max_length is 20, too.
    /// </summary>
    public const int DefaultMaxNewTokens = 20;

    /// <summary>The default of top_k in Hugging Face's GenerationConfig.</summary>
    public const int DefaultTopK = 50;

    /// <summary>
    /// Completes the options that a user asks for. A later request overrides an earlier one, a request the model's files, and these the
    /// defaults. An option that has an effect only on sampling turns sampling on where a request does not set it.
    /// </summary>
    /// <param name="requests">The options of the trace, then those of the invoke; null for none.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: a sampling option of the model's files is out of its bounds.</exception>
    public Generation Complete(params ReadOnlySpan<Generation?> requests)
    {
        Generation complete = Options.Clone();
        foreach (Generation? request in requests)
        {
            if (request is null) continue;
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (option.IsSet(request)) option.ClearIfList(complete);
            complete.MergeFrom(request);
            if (!request.HasSample && GenerationOptionsValidator.HasSamplingOption(request)) complete.Sample = true;
        }
        if (complete.EarlyStopping is EarlyStopping.Unspecified) complete.ClearEarlyStopping();
        foreach (GenerationOption option in GenerationOptionTable.Rows)
        {
            option.SetDefault(complete);
            if (option.IsSamplingOnly && complete.Sample) option.Validate(complete);
        }
        return complete;
    }

    /// <summary>Reads generation_config.json and config.json.</summary>
    /// <exception cref="NdifException">BAD_CHECKPOINT: an option of the file is of the wrong kind or out of its bounds.</exception>
    public static GenerationDefaults FromModel(ModelDescription model)
    {
        using JsonDocument file = Open("generation_config.json"), config = Open("config.json");
        try
        {
            var options = new Generation();
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (!option.IsRequestOnly && Find(option.Name, file) is { } value) option.Read(value, options);
            if (Find(GenerationOptionTable.Eos.Name, file) is null && Find(GenerationOptionTable.Eos.Name, config) is { } eos)
                GenerationOptionTable.Eos.Read(eos, options);
            // Sampling options of a file that does not sample have no effect; Complete checks them where a request turns sampling on.
            Generation bounds = options.Clone();
            bounds.ClearSample();
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (option.IsSamplingOnly && !options.Sample) option.Clear(bounds);
            GenerationOptionsValidator.Validate(bounds);
            return new GenerationDefaults(options, TokenId("bos_token_id"), TokenId("pad_token_id"));
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or NdifException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"generation_config.json of `{model.Id}` cannot be read: {e.Message}", inner: e);
        }

        JsonDocument Open(string name)
        {
            try
            {
                ReadOnlyMemory<byte> json = model.Files.TryGetValue(name, out var bytes) ? bytes.Memory : "{}"u8.ToArray();
                return JsonDocument.Parse(json, new() { CommentHandling = JsonCommentHandling.Skip });
            }
            catch (JsonException e)
            {
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{name} of `{model.Id}` is not JSON: {e.Message}", inner: e);
            }
        }

        static JsonElement? Find(string key, JsonDocument within) =>
            within.RootElement is { ValueKind: JsonValueKind.Object } root && root.TryGetProperty(key, out JsonElement value)
            && value.ValueKind is not JsonValueKind.Null ? value : null;

        int? TokenId(string key) => (Find(key, file) ?? Find(key, config)) is not { } id ? null
            : id.ValueKind is not JsonValueKind.Array ? id.GetInt32() : id.GetArrayLength() > 0 ? id[0].GetInt32() : null;
    }
}
