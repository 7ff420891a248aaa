using System.Text.Json;
using Google.Protobuf.Collections;

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
    private readonly List<GenerationFault> _faults = [];

    public GenerationConfigReader(ModelDescription model)
    {
        _model = model;
        (_file, _config) = (Open("generation_config.json"), Open("config.json"));
    }

    private string FileName => _file is null ? "config.json" : "generation_config.json";

    /// <summary>Reads the options. One that cannot be used is a fault of the result, which only a generation meets.</summary>
    public GenerationDefaults Read()
    {
        Generation options = ReadOptions();
        string[] warnings = RemoveNegativeTokens(options.Eos);
        int? bos = FindTokenId("bos_token_id"), pad = FindTokenId("pad_token_id");
        // an option of early versions, in the config of models of the BART kind
        bool isFromConfig = _file is null || FindOption("_from_model_config") is { ValueKind: JsonValueKind.True };
        if (isFromConfig && FindOption("force_bos_token_to_be_generated") is { ValueKind: JsonValueKind.True } && bos is { } forced)
            options.ForcedBos = forced;
        AddFault(null, () =>
        {
            // sampling options of a file that does not sample have no effect
            Generation bounds = options.Clone();
            bounds.ClearSample();
            foreach (GenerationOption option in GenerationOptionTable.Rows)
                if (option.IsSamplingOnly && !options.Sample) option.Clear(bounds);
            GenerationOptionsValidator.Validate(bounds);
        });
        UnappliedGenerationOption[] unapplied = [];
        AddFault(null, () => unapplied =
            [.. UnappliedGenerationOption.Rows.Where(option => FindOption(option.Name) is { } value && option.IsSet(value))]);
        return new GenerationDefaults(options, bos, pad)
        {
            DecoderStartTokenId = FindTokenId("decoder_start_token_id"),
            Source = $"{FileName} of `{_model.Id}`", Unapplied = unapplied, Faults = _faults, FileWarnings = warnings,
        };
    }

    private Generation ReadOptions()
    {
        var options = new Generation();
        foreach (GenerationOption option in GenerationOptionTable.Rows)
        {
            if (option.IsRequestOnly || FindOption(option.Name) is not { } value) continue;
            var own = new Generation();
            bool isUsable = AddFault(option, () =>
            {
                option.Read(value, own);
                RemoveUnknownTokens(own.SuppressTokens);
                RemoveUnknownTokens(own.BeginSuppressTokens);
                if (option == GenerationOptionTable.Eos) return;
                option.Validate(own);
                option.ValidateVocabulary(own, _model.Vocabulary);
            }, value.ValueKind is JsonValueKind.Number);
            if (isUsable) options.MergeFrom(own);
        }
        return options;
    }

    /// <returns>False if what was read cannot be used.</returns>
    private bool AddFault(GenerationOption? option, Action read, bool isNumber = false)
    {
        try
        {
            read();
            return true;
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or NdifException)
        {
            _faults.Add(new(option, $"{FileName} of `{_model.Id}` cannot be read: {e.Message}", e) { IsNumber = isNumber });
            return false;
        }
    }

    /// <summary>Removes ids that no token has: a row never ends at them, in Hugging Face neither.</summary>
    private static string[] RemoveNegativeTokens(RepeatedField<long> ids)
    {
        long[] negative = [.. ids.Where(id => id < 0)];
        foreach (long id in negative) ids.Remove(id);
        return negative.Length == 0 ? []
            : [$"sets `eos_token_id` to {string.Join(", ", negative)}, which is the id of no token: no row ends at it."];
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

    /// <summary>The id of a token, or the first of several; null if none is set, for which some files have -1.</summary>
    private int? FindTokenId(string name)
    {
        if ((FindOption(name) ?? FindInConfig(name)) is not { } value) return null;
        int? id = null;
        AddFault(null, () => id = value.ValueKind is not JsonValueKind.Array ? value.GetInt32()
            : value.GetArrayLength() > 0 ? value[0].GetInt32() : null);
        return id >= 0 ? id : null;
    }

    private JsonDocument? Open(string name)
    {
        if (!_model.Files.TryGetValue(name, out var bytes)) return null;
        try
        {
            return PythonJson.Parse(bytes.Memory, _jsonOptions);
        }
        catch (JsonException e)
        {
            _faults.Add(new(null, $"{name} of `{_model.Id}` is not JSON: {e.Message}", e));
            return null;
        }
    }

    public void Dispose()
    {
        _file?.Dispose();
        _config?.Dispose();
    }
}
