using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>
/// Reads the generation options of a model's files: generation_config.json, or config.json where there is no such file, and then the
/// config of the text model inside of it for options that the outer one does not set.
/// </summary>
/// <remarks>
/// GenerationConfig.from_pretrained and from_model_config in transformers/generation/configuration_utils.py, and adjust_generation_fn in
/// transformers/modeling_utils.py
/// </remarks>
internal sealed class GenerationConfigReader : IDisposable
{
    private static readonly string[] _textConfigs = ["decoder", "generator", "text_config"];
    private static readonly JsonDocumentOptions _jsonOptions = new() { CommentHandling = JsonCommentHandling.Skip };

    private readonly ModelDescription _model;
    private readonly JsonDocument? _file, _config;

    /// <exception cref="NdifException">BAD_CHECKPOINT: a file is not JSON.</exception>
    public GenerationConfigReader(ModelDescription model) =>
        (_model, _file, _config) = (model, Open(model, "generation_config.json"), Open(model, "config.json"));

    private string FileName => _file is null ? "config.json" : "generation_config.json";

    /// <exception cref="NdifException">BAD_CHECKPOINT: an option of the file is of the wrong kind or out of its bounds.</exception>
    public GenerationDefaults Read()
    {
        try
        {
            Generation options = ReadOptions();
            // Sampling options of a file that does not sample have no effect; Complete checks them where a request turns sampling on.
            Generation bounds = options.Clone();
            bounds.ClearSample();
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (option.IsSamplingOnly && !options.Sample) option.Clear(bounds);
            GenerationOptionsValidator.Validate(bounds);
            GenerationOptionsValidator.ValidateVocabulary(bounds, _model.Vocabulary);
            return new GenerationDefaults(options, FindTokenId("bos_token_id"), FindTokenId("pad_token_id"))
            {
                Source = $"{FileName} of `{_model.Id}`",
                Unapplied =
                    [.. UnappliedGenerationOption.Rows.Where(option => FindOption(option.Name) is { } value && option.IsSet(value))],
            };
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or NdifException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{FileName} of `{_model.Id}` cannot be read: {e.Message}", inner: e);
        }
    }

    private Generation ReadOptions()
    {
        var options = new Generation();
        foreach (GenerationOption option in GenerationOptionTable.Rows)
            if (!option.IsRequestOnly && FindOption(option.Name) is { } value) option.Read(value, options);
        // an option of early versions, in the config of models of the BART kind
        bool isFromConfig = _file is null || FindOption("_from_model_config") is { ValueKind: JsonValueKind.True };
        if (isFromConfig && FindOption("force_bos_token_to_be_generated") is { ValueKind: JsonValueKind.True }
            && FindTokenId("bos_token_id") is { } bos)
            options.ForcedBos = bos;
        RemoveUnknownTokens(options.SuppressTokens);
        RemoveUnknownTokens(options.BeginSuppressTokens);
        return options;
    }

    /// <summary>Removes ids that are not in the vocabulary: to suppress them has no effect, in Hugging Face neither.</summary>
    private void RemoveUnknownTokens(TokenRow? row)
    {
        if (row is null) return;
        long[] known = [.. row.Ids.Where(id => id >= 0 && (_model.Vocabulary == 0 || id < _model.Vocabulary))];
        row.Ids.Clear();
        row.Ids.AddRange(known);
    }

    private JsonElement? FindOption(string name) => _file is null ? FindInConfig(name) : Find(name, _file.RootElement);

    private JsonElement? FindInConfig(string name)
    {
        if (_config is not { RootElement: { ValueKind: JsonValueKind.Object } root }) return null;
        if (Find(name, root) is { } value) return value;
        foreach (string text in _textConfigs)
            if (Find(text, root) is { } inner) return Find(name, inner);
        return null;
    }

    private static JsonElement? Find(string name, JsonElement within) =>
        within.ValueKind is JsonValueKind.Object && within.TryGetProperty(name, out JsonElement value)
        && value.ValueKind is not JsonValueKind.Null ? value : null;

    private int? FindTokenId(string name) => (FindOption(name) ?? FindInConfig(name)) is not { } id ? null
        : id.ValueKind is not JsonValueKind.Array ? id.GetInt32() : id.GetArrayLength() > 0 ? id[0].GetInt32() : null;

    private static JsonDocument? Open(ModelDescription model, string name)
    {
        if (!model.Files.TryGetValue(name, out var bytes)) return null;
        try
        {
            return JsonDocument.Parse(bytes.Memory, _jsonOptions);
        }
        catch (JsonException e)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{name} of `{model.Id}` is not JSON: {e.Message}", inner: e);
        }
    }

    public void Dispose()
    {
        _file?.Dispose();
        _config?.Dispose();
    }
}
