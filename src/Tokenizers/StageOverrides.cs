using System.Text.Json;
using System.Text.Json.Nodes;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers;

/// <summary>
/// The stages of tokenizer.json as a tokenizer class of transformers uses them: some classes set a part of a stage from
/// tokenizer_config.json. A stage of a kind that the class does not build is used as the file has it.
/// </summary>
/// <remarks>transformers 5, the constructors in models/*/tokenization_*.py</remarks>
internal sealed class StageOverrides
{
    private readonly TokenizerConfig _config;

    private StageOverrides(TokenizerConfig config) => _config = config;

    public JsonSection? Normalizer { get; private set; }

    public JsonSection? PreTokenizer { get; private set; }

    public JsonSection? PostProcessor { get; private set; }

    public JsonSection? Decoder { get; private set; }

    public static StageOverrides Apply(JsonSection root, TokenizerConfig config)
    {
        var stages = new StageOverrides(config)
        {
            Normalizer = root.Optional("normalizer"),
            PreTokenizer = root.Optional("pre_tokenizer"),
            PostProcessor = root.Optional("post_processor"),
            Decoder = root.Optional("decoder"),
        };
        switch (config.Class.Kind)
        {
            case TokenizerKind.ByteLevel:
                stages.SetByteLevelPrefix();
                break;
            case TokenizerKind.Roberta:
                stages.SetByteLevelPrefix();
                stages.PostProcessor = Edit(stages.PostProcessor, "processors", "RobertaProcessing", stage =>
                {
                    stage["add_prefix_space"] = config.AddPrefixSpace ?? false;
                    stage["trim_offsets"] = config.TrimOffsets ?? true;
                });
                break;
            case TokenizerKind.Bert:
                stages.Normalizer = Edit(stages.Normalizer, "normalizers", "BertNormalizer", stage =>
                {
                    stage["lowercase"] = config.DoLowerCase ?? true;
                    stage["strip_accents"] = config.StripAccents;
                    stage["handle_chinese_chars"] = config.TokenizeChineseChars ?? true;
                });
                break;
            case TokenizerKind.SentencePiece when config.AddPrefixSpace is { } addPrefix:
                void SetScheme(JsonObject stage)
                {
                    stage.Remove("add_prefix_space");
                    stage["prepend_scheme"] = addPrefix ? "always" : "never";
                }
                stages.PreTokenizer = Edit(stages.PreTokenizer, "pretokenizers", "Metaspace", SetScheme);
                stages.Decoder = Edit(stages.Decoder, "decoders", "Metaspace", SetScheme);
                break;
            case TokenizerKind.Llama:
                stages.SetLlamaPrefix();
                break;
        }
        return stages;
    }

    private void SetByteLevelPrefix() => PreTokenizer = Edit(PreTokenizer, "pretokenizers", "ByteLevel",
        stage => stage["add_prefix_space"] = _config.AddPrefixSpace ?? false);

    /// <summary>
    /// Replaces the stages of Llama's SentencePiece tokenizer, which put a space before the text: before all text between special
    /// tokens with <c>legacy</c>, otherwise only at the start.
    /// </summary>
    private void SetLlamaPrefix()
    {
        bool isMetaspace = AreAll(Normalizer, "normalizers", "Prepend", "Replace") && AreAll(PreTokenizer, "pretokenizers", "Metaspace")
            && AreAll(Decoder, "decoders", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace");
        if (!isMetaspace) return;
        bool addPrefix = _config.AddPrefixSpace ?? true;
        string scheme = !addPrefix ? "never" : _config.Legacy == true ? "always" : "first";
        Normalizer = null;
        PreTokenizer = Section("pre_tokenizer",
            $$"""{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}","split":false}""");
        string strip = addPrefix ? """, {"type":"Strip","content":" ","start":1,"stop":0}""" : "";
        Decoder = Section("decoder", $$"""
            {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
            {"type":"ByteFallback"},{"type":"Fuse"}{{strip}}]}
            """);
    }

    private static JsonSection Section(string name, string json)
    {
        using var document = JsonDocument.Parse(json);
        return new JsonSection(document.RootElement.Clone(), $"tokenizer.json: {name}");
    }

    private static bool AreAll(JsonSection? section, string field, params string[] types) =>
        section is not { } stages || stages.Stages(field).TrueForAll(
            stage => stage.Optional("type") is { ValueKind: JsonValueKind.String } type && types.Contains(type.String()));

    /// <summary>Returns a section whose stages of a type are edited, or the section itself if it has no such stage.</summary>
    private static JsonSection? Edit(JsonSection? section, string field, string type, Action<JsonObject> edit)
    {
        if (section is not { } stages || !stages.Stages(field).Exists(stage => IsType(stage))) return section;
        var root = JsonNode.Parse(stages.Value.GetRawText())!;
        EditAll(root);
        return stages with { Value = JsonElement.Parse(root.ToJsonString()) };

        bool IsType(JsonSection stage) =>
            stage.Optional("type") is { ValueKind: JsonValueKind.String } name && name.String() == type;

        void EditAll(JsonNode node)
        {
            if (node is not JsonObject stage) return;
            if (stage[field] is JsonArray list)
                foreach (var item in list) EditAll(item!);
            else if ((string?)stage["type"] == type)
                edit(stage);
        }
    }
}
