using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Ndif.Tokenizers.Conversion;

/// <summary>
/// Builds a tokenizer.json from the vocabulary files of older repositories, as the tokenizer classes of transformers do.
/// </summary>
/// <remarks>transformers 5, models/*/tokenization_*.py and convert_slow_tokenizer.py</remarks>
internal static class VocabularyFileConverter
{
    /// <summary>The split pattern of Qwen2 (models/qwen2/tokenization_qwen2.py).</summary>
    private const string Qwen2Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string ByteLevelDecoder = """{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}""";

    /// <summary>Builds the tokenizer from vocab.json and merges.txt: byte-level BPE.</summary>
    /// <exception cref="TokenizerFormatException">A file cannot be read, or the class does not use byte-level BPE.</exception>
    public static byte[] FromVocabularyAndMerges(ReadOnlyMemory<byte> vocabulary, ReadOnlySpan<byte> merges, TokenizerConfig config)
    {
        if (config.Class.Kind is not (TokenizerKind.ByteLevel or TokenizerKind.Roberta or TokenizerKind.Generic)
            || (config.Class.Kind == TokenizerKind.Generic && IsNamed(config)))
            throw CannotConvert(config, "vocab.json and merges.txt");
        var lines = new List<string>();
        foreach (string line in ReadLines(merges))
            if (line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal)) lines.Add(line);
        if (lines.Exists(line => line.EndsWith("</w>", StringComparison.Ordinal)))
            throw new TokenizerFormatException("merges.txt",
                "the tokens are not those of a byte-level tokenizer. " + TokenizerFolder.HowToSave);
        bool isQwen = config.ClassName == "Qwen2Tokenizer", isNeoX = config.ClassName == "GPTNeoXTokenizer";
        string addPrefix = config.AddPrefixSpace == true ? "true" : "false";
        string useRegex = isQwen ? "false" : "true";
        string byteLevel = $$"""
            {"type":"ByteLevel","add_prefix_space":{{addPrefix}},"trim_offsets":true,"use_regex":{{useRegex}}}
            """;
        JsonObject root = new()
        {
            ["normalizer"] = isQwen || isNeoX ? JsonNode.Parse("""{"type":"NFC"}""") : null,
            ["pre_tokenizer"] = JsonNode.Parse(!isQwen ? byteLevel : $$"""
                {"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":{{JsonValue.Create(Qwen2Pattern)!.ToJsonString()}}},
                "behavior":"Isolated","invert":false},{{byteLevel}}]}
                """),
            ["decoder"] = JsonNode.Parse(ByteLevelDecoder),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = ParseVocabulary(vocabulary),
                ["merges"] = new JsonArray([.. lines.Select(line => JsonValue.Create(line))]),
            },
        };
        if (config.Class.Kind == TokenizerKind.Roberta) root["post_processor"] = RobertaPostProcessor(root, config);
        return Serialize(root);
    }

    /// <summary>Builds the tokenizer from vocab.txt: WordPiece, as for BERT. The id of a token is the number of its line.</summary>
    /// <exception cref="TokenizerFormatException">The class does not use WordPiece.</exception>
    public static byte[] FromWordPieceVocabulary(ReadOnlySpan<byte> vocabulary, TokenizerConfig config)
    {
        if (config.Class.Kind != TokenizerKind.Bert && (config.Class.Kind != TokenizerKind.Generic || IsNamed(config)))
            throw CannotConvert(config, "vocab.txt");
        JsonObject tokens = [];
        int id = 0;
        foreach (string line in ReadLines(vocabulary)) tokens[line] = id++;
        string cls = config.ClsToken ?? "[CLS]", sep = config.SepToken ?? "[SEP]";
        int? clsId = (int?)tokens[cls], sepId = (int?)tokens[sep];
        JsonObject root = new()
        {
            ["normalizer"] = new JsonObject
            {
                ["type"] = "BertNormalizer",
                ["clean_text"] = true,
                ["handle_chinese_chars"] = config.TokenizeChineseChars ?? true,
                ["strip_accents"] = config.StripAccents,
                ["lowercase"] = config.DoLowerCase ?? true,
            },
            ["pre_tokenizer"] = JsonNode.Parse("""{"type":"BertPreTokenizer"}"""),
            ["post_processor"] = clsId is null || sepId is null ? null : new JsonObject
            {
                ["type"] = "BertProcessing",
                ["sep"] = new JsonArray(sep, sepId),
                ["cls"] = new JsonArray(cls, clsId),
            },
            ["decoder"] = JsonNode.Parse("""{"type":"WordPiece","prefix":"##","cleanup":true}"""),
            ["model"] = new JsonObject
            {
                ["type"] = "WordPiece",
                ["unk_token"] = config.UnknownToken ?? "[UNK]",
                ["continuing_subword_prefix"] = "##",
                ["max_input_chars_per_word"] = 100,
                ["vocab"] = tokens,
            },
        };
        return Serialize(root);
    }

    private static bool IsNamed(TokenizerConfig config) => config.ClassName is not (null or TokenizerClass.GenericName);

    private static TokenizerFormatException CannotConvert(TokenizerConfig config, string files) => new(
        "tokenizer_config.json: tokenizer_class", $"a {config.ClassName ?? "tokenizer of this class"} cannot be built from {files}. "
            + TokenizerFolder.HowToSave);

    private static JsonObject ParseVocabulary(ReadOnlyMemory<byte> json)
    {
        if (json.Span.StartsWith("\uFEFF"u8)) json = json[3..];
        try
        {
            return JsonNode.Parse(json.Span) as JsonObject
                ?? throw new TokenizerFormatException("vocab.json", "an object of tokens and their ids is expected");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            throw new TokenizerFormatException("vocab.json", e.Message, e);
        }
    }

    private static JsonObject? RobertaPostProcessor(JsonObject root, TokenizerConfig config)
    {
        var vocabulary = (JsonObject)root["model"]!["vocab"]!;
        string cls = config.ClsToken ?? "<s>", sep = config.SepToken ?? "</s>";
        if ((int?)vocabulary[cls] is not { } clsId || (int?)vocabulary[sep] is not { } sepId) return null;
        return new JsonObject
        {
            ["type"] = "RobertaProcessing",
            ["sep"] = new JsonArray(sep, sepId),
            ["cls"] = new JsonArray(cls, clsId),
            ["trim_offsets"] = config.TrimOffsets ?? true,
            ["add_prefix_space"] = config.AddPrefixSpace ?? false,
        };
    }

    private static IEnumerable<string> ReadLines(ReadOnlySpan<byte> utf8)
    {
        var lines = Encoding.UTF8.GetString(utf8).Split('\n');
        return lines.Take(lines[^1].Length == 0 ? lines.Length - 1 : lines.Length).Select(line => line.TrimEnd('\r'));
    }

    /// <summary>The text of an object, without reflection, which file-based programs do not have.</summary>
    internal static byte[] Serialize(JsonObject root) => Encoding.UTF8.GetBytes(root.ToJsonString());
}
