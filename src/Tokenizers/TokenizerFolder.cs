using System.Text.Json;
using System.Text;
using Ndif.Protocol;
using Ndif.Tokenizers.AddedTokens;
using Ndif.Tokenizers.Conversion;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers;

/// <summary>Builds the stages of a tokenizer from the files of a folder.</summary>
internal sealed class TokenizerFolder(IReadOnlyDictionary<string, ReadOnlyMemory<byte>> files)
{
    /// <summary>What to do about a tokenizer that cannot be built.</summary>
    public const string HowToSave =
        "Save the model's fast tokenizer as tokenizer.json (in Python: AutoTokenizer.from_pretrained(...).save_pretrained(folder)).";

    /// <summary>Reads the files.</summary>
    /// <exception cref="TokenizerFormatException">A file cannot be read, or there is no vocabulary.</exception>
    public (TokenizerPipeline Pipeline, TokenizerConfig Config) Read()
    {
        using var configFile = Parse(TokenizerFiles.Config);
        using var modelConfigFile = Parse(TokenizerFiles.ModelConfig);
        using var specialTokensMap = Parse(TokenizerFiles.SpecialTokensMap);
        using var addedTokens = Parse(TokenizerFiles.AddedTokens);
        return Guard(TokenizerFiles.Config, () =>
        {
            var config = configFile is null ? new TokenizerConfig()
                : TokenizerConfig.Read(Section(TokenizerFiles.Config, configFile)!.Value);
            string? modelType = modelConfigFile is null ? null : ModelType(modelConfigFile.RootElement);
            config = config with
            {
                ClassName = ModelTypeClasses.Resolve(config.ClassName, modelType, files.ContainsKey(TokenizerFiles.TokenizerJson)),
            };
            if (ReadChatTemplates() is { Count: > 0 } templates) config = config with { ChatTemplates = templates };

            var model = ReadSentencePieceModel();
            var defaults = model is not null && config.Class.Kind == TokenizerKind.Generic ? TokensOf(model) : config.Class.Tokens;
            // The converters need the tokens of the roles; the added tokens of the converted tokenizer come after that.
            if (!files.ContainsKey(TokenizerFiles.TokenizerJson)) config = config.With(ReadDeclarations(null));
            using var tokenizer = files.ContainsKey(TokenizerFiles.TokenizerJson) ? Parse(TokenizerFiles.TokenizerJson)
                : JsonDocument.Parse(Convert(model, config));
            return Guard(TokenizerFiles.TokenizerJson, () =>
            {
                var root = Section(TokenizerFiles.TokenizerJson, tokenizer)!.Value;
                var declarations = ReadDeclarations(root);
                config = config.With(declarations);
                return (new TokenizerPipeline(root, config, declarations), config);
            });

            TokenDeclarations ReadDeclarations(JsonSection? root) => TokenDeclarations.Read(root,
                Section(TokenizerFiles.Config, configFile), Section(TokenizerFiles.SpecialTokensMap, specialTokensMap),
                Section(TokenizerFiles.AddedTokens, addedTokens), defaults);
        });
    }

    /// <summary>Reads the templates that are files of their own, which replace those of tokenizer_config.json.</summary>
    private Dictionary<string, string> ReadChatTemplates()
    {
        Dictionary<string, string> templates = new(StringComparer.Ordinal);
        if (files.TryGetValue(TokenizerFiles.ChatTemplate, out var template) && !template.IsEmpty)
            templates[Chat.ChatTemplateSet.Default] = Encoding.UTF8.GetString(template.Span);
        foreach (var (name, content) in files.Where(file => TokenizerFiles.IsAdditionalChatTemplate(file.Key)))
            templates[Path.GetFileNameWithoutExtension(name)] = Encoding.UTF8.GetString(content.Span);
        return templates;
    }

    private byte[] Convert(SentencePieceModelFile? model, TokenizerConfig config)
    {
        if (model is not null) return SentencePieceConverter.Convert(model, config);
        if (files.TryGetValue(TokenizerFiles.Vocabulary, out var vocabulary) && files.TryGetValue(TokenizerFiles.Merges, out var merges))
            return VocabularyFileConverter.FromVocabularyAndMerges(vocabulary, merges.Span, config);
        if (files.TryGetValue(TokenizerFiles.WordPieceVocabulary, out var words))
            return VocabularyFileConverter.FromWordPieceVocabulary(words.Span, config);
        throw new TokenizerFormatException(TokenizerFiles.TokenizerJson,
            "is missing, and so are vocab.json with merges.txt, tokenizer.model and vocab.txt. " + HowToSave);
    }

    private SentencePieceModelFile? ReadSentencePieceModel()
    {
        string[] vocabulary = TokenizerFiles.SelectVocabulary(files.ContainsKey);
        return vocabulary is [var name] && TokenizerFiles.SentencePieceModels.Contains(name)
            ? SentencePieceModelFile.Read(name, files[name].Span) : null;
    }

    private static Dictionary<string, string> TokensOf(SentencePieceModelFile model)
    {
        var tokens = new Dictionary<string, string>(StringComparer.Ordinal) { ["unk_token"] = model.UnknownPiece };
        if (model.BosId >= 0) tokens["bos_token"] = model.BosPiece;
        if (model.EosId >= 0) tokens["eos_token"] = model.EosPiece;
        return tokens;
    }

    private static string? ModelType(JsonElement config) =>
        config.ValueKind == JsonValueKind.Object && config.TryGetProperty("model_type", out var type)
        && type.ValueKind == JsonValueKind.String ? type.GetString() : null;

    private static JsonSection? Section(string fileName, JsonDocument? document) =>
        document is null ? null : new JsonSection(document.RootElement, fileName + ": ");

    /// <summary>Parses a file, or returns null if there is none.</summary>
    private JsonDocument? Parse(string fileName)
    {
        if (!files.TryGetValue(fileName, out var json) || (json.IsEmpty && fileName != TokenizerFiles.TokenizerJson)) return null;
        if (json.Span.StartsWith("\uFEFF"u8)) json = json[3..];
        return Guard(fileName, () => PythonJson.Parse(json));
    }

    private static T Guard<T>(string fileName, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // JsonElement throws InvalidOperationException for an escape sequence that is half of a surrogate pair.
            throw new TokenizerFormatException(fileName, e.Message, e);
        }
    }
}
