using System.Text.Json;
using System.Text.Json.Nodes;

namespace Ndif.Tokenizers.Conversion;

/// <summary>Builds a tokenizer.json from the vocabulary of a GGUF file.</summary>
/// <remarks>
/// GGUFLlamaConverter and GGUFGPTConverter in transformers/integrations/ggml.py; the patterns by name are those of llm_tokenizer_bpe in
/// llama.cpp's src/llama-vocab.cpp, as the models' own tokenizer.json have them.
/// </remarks>
internal static class GgufVocabularyConverter
{
    private const string Contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

    private const string Llama3Pattern =
        Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Qwen2Pattern =
        Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string TekkenPattern = @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        + @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        + @"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string O200kPattern = @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + Contractions + "?"
        + @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + Contractions + "?"
        + @"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>The ways to split text: null is that of GPT-2, which the byte-level stage does itself.</summary>
    private static readonly Dictionary<string, Split> _splits = new(StringComparer.Ordinal)
    {
        ["default"] = new(null),
        ["gpt-2"] = new(null),
        ["phi-2"] = new(null),
        ["mpt"] = new(null),
        ["olmo"] = new(null),
        ["dbrx"] = new(Llama3Pattern),
        ["smaug-bpe"] = new(Llama3Pattern),
        ["llama3"] = new(Llama3Pattern) { IgnoresMerges = true, AddsBos = true },
        ["llama-v3"] = new(Llama3Pattern) { IgnoresMerges = true, AddsBos = true },
        ["llama-bpe"] = new(Llama3Pattern) { IgnoresMerges = true, AddsBos = true },
        ["falcon3"] = new(Llama3Pattern) { IgnoresMerges = true, AddsBos = true },
        ["qwen2"] = new(Qwen2Pattern) { Normalizer = """{"type":"NFC"}""" },
        ["stablelm2"] = new(Qwen2Pattern),
        ["tekken"] = new(TekkenPattern) { IgnoresMerges = true, AddsBos = true },
        ["gpt-4o"] = new(O200kPattern),
        ["starcoder"] = new(null) { SplitsDigits = true },
        ["refact"] = new(null) { SplitsDigits = true },
        ["command-r"] = new(null) { SplitsDigits = true },
        ["smollm"] = new(null) { SplitsDigits = true },
        ["codeshell"] = new(null) { SplitsDigits = true },
        ["exaone"] = new(null) { SplitsDigits = true },
    };

    private sealed record Split(string? Pattern)
    {
        public bool IgnoresMerges { get; init; }

        public bool AddsBos { get; init; }

        public bool SplitsDigits { get; init; }

        public string? Normalizer { get; init; }
    }

    public static bool IsKnown(GgufVocabulary vocabulary) =>
        vocabulary.Model == "llama" || (vocabulary.Model == "gpt2" && _splits.ContainsKey(vocabulary.Pre));

    public static Dictionary<string, byte[]> Convert(GgufVocabulary vocabulary)
    {
        if (!IsKnown(vocabulary))
            throw new TokenizerFormatException("tokenizer.ggml.pre",
                $"a tokenizer of the kind `{vocabulary.Model}` that splits text as `{vocabulary.Pre}` is not known");
        foreach (int? id in new[] { vocabulary.BosId, vocabulary.EosId, vocabulary.UnknownId, vocabulary.PadId })
            if (id is { } given && (given < 0 || given >= vocabulary.Tokens.Count))
                throw new TokenizerFormatException("tokenizer.ggml", $"token {given} is not one of {vocabulary.Tokens.Count}");
        bool isSentencePiece = vocabulary.Model == "llama";
        Split split = isSentencePiece ? new(null) { AddsBos = true } : _splits[vocabulary.Pre];
        JsonObject root = isSentencePiece ? SentencePiece(vocabulary) : ByteLevel(vocabulary, split);
        root["added_tokens"] = AddedTokens(vocabulary);
        root["post_processor"] = PostProcessor(vocabulary, root["post_processor"], vocabulary.AddsBos ?? split.AddsBos);
        JsonObject config = new() { ["tokenizer_class"] = TokenizerClass.GenericName, ["clean_up_tokenization_spaces"] = false };
        foreach (var (role, id) in new[] { ("bos_token", vocabulary.BosId), ("eos_token", vocabulary.EosId),
            ("unk_token", vocabulary.UnknownId), ("pad_token", vocabulary.PadId) })
            if (id is { } token) config[role] = vocabulary.Tokens[token];
        if (vocabulary.ChatTemplate is { } template) config["chat_template"] = template;
        return new(StringComparer.Ordinal)
        {
            [TokenizerFiles.TokenizerJson] = VocabularyFileConverter.Serialize(root),
            [TokenizerFiles.Config] = VocabularyFileConverter.Serialize(config),
        };
    }

    /// <summary>Byte-pair encoding with '▁' for a space and a token for each byte. The best score is merged first.</summary>
    private static JsonObject SentencePiece(GgufVocabulary vocabulary)
    {
        Dictionary<string, int> ids = Ids(vocabulary);
        List<(string Left, string Right)> merges = MergeGenerator.Generate(ids);
        if (vocabulary.Scores.Count == vocabulary.Tokens.Count)
            merges = [.. merges.OrderByDescending(merge => vocabulary.Scores[ids[merge.Left + merge.Right]])]; // stable
        bool addsSpace = vocabulary.AddsSpacePrefix ?? true;
        JsonNode replace = JsonNode.Parse("""{"type":"Replace","pattern":{"String":" "},"content":"▁"}""")!;
        List<JsonNode?> decoders =
        [
            JsonNode.Parse("""{"type":"Replace","pattern":{"String":"▁"},"content":" "}"""),
            JsonNode.Parse("""{"type":"ByteFallback"}"""), JsonNode.Parse("""{"type":"Fuse"}"""),
        ];
        if (addsSpace) decoders.Add(JsonNode.Parse("""{"type":"Strip","content":" ","start":1,"stop":0}"""));
        return new JsonObject
        {
            ["normalizer"] = !addsSpace ? replace : new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(JsonNode.Parse("""{"type":"Prepend","prepend":"▁"}"""), replace),
            },
            ["decoder"] = new JsonObject { ["type"] = "Sequence", ["decoders"] = new JsonArray([.. decoders]) },
            ["model"] = Bpe(ids, merges.Select(merge => (JsonNode)new JsonArray(merge.Left, merge.Right)), new JsonObject
            {
                ["unk_token"] = vocabulary.UnknownId is { } id ? vocabulary.Tokens[id] : null,
                ["fuse_unk"] = true, ["byte_fallback"] = true,
            }),
        };
    }

    private static JsonObject ByteLevel(GgufVocabulary vocabulary, Split split)
    {
        const string ByteLevelStage = """{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":USE}""";
        JsonNode byteLevel = JsonNode.Parse(ByteLevelStage.Replace("USE", split.Pattern is null ? "true" : "false",
            StringComparison.Ordinal))!;
        List<JsonNode> stages = [];
        if (split.SplitsDigits) stages.Add(JsonNode.Parse("""{"type":"Digits","individual_digits":true}""")!);
        if (split.Pattern is { } pattern)
            stages.Add(new JsonObject
            {
                ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false,
            });
        stages.Add(byteLevel);
        return new JsonObject
        {
            ["normalizer"] = split.Normalizer is null ? null : JsonNode.Parse(split.Normalizer),
            ["pre_tokenizer"] = stages.Count == 1 ? stages[0]
                : new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray([.. stages]) },
            ["post_processor"] = JsonNode.Parse("""{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true}"""),
            ["decoder"] = JsonNode.Parse("""{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"""),
            ["model"] = Bpe(Ids(vocabulary), vocabulary.Merges.Select(merge => (JsonNode)JsonValue.Create(merge)),
                new JsonObject { ["unk_token"] = null, ["fuse_unk"] = false, ["byte_fallback"] = false,
                    ["ignore_merges"] = split.IgnoresMerges }),
        };
    }

    private static JsonObject Bpe(Dictionary<string, int> ids, IEnumerable<JsonNode> merges, JsonObject model)
    {
        JsonObject tokens = [];
        foreach (var (token, id) in ids) tokens[token] = id;
        model["type"] = "BPE";
        model["vocab"] = tokens;
        model["merges"] = new JsonArray([.. merges]);
        return model;
    }

    private static Dictionary<string, int> Ids(GgufVocabulary vocabulary)
    {
        Dictionary<string, int> ids = new(StringComparer.Ordinal);
        for (int id = 0; id < vocabulary.Tokens.Count; id++) ids.TryAdd(vocabulary.Tokens[id], id);
        return ids;
    }

    /// <summary>Control tokens and the unknown token are special; user-defined tokens are found in a text before it is split.</summary>
    private static JsonArray AddedTokens(GgufVocabulary vocabulary)
    {
        JsonArray added = [];
        for (int id = 0; id < Math.Min(vocabulary.Tokens.Count, vocabulary.TokenTypes.Count); id++)
            if ((SentencePieceType)vocabulary.TokenTypes[id] is var type
                && type is SentencePieceType.Control or SentencePieceType.UserDefined or SentencePieceType.Unknown
                    && vocabulary.Tokens[id].Length > 0)
                added.Add((JsonNode)new JsonObject
                {
                    ["id"] = id, ["content"] = vocabulary.Tokens[id], ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false,
                    ["normalized"] = false, ["special"] = type != SentencePieceType.UserDefined,
                });
        return added;
    }

    /// <summary>Puts the tokens of the beginning and the end around a text.</summary>
    private static JsonNode? PostProcessor(GgufVocabulary vocabulary, JsonNode? own, bool addsBos)
    {
        string? bos = addsBos && vocabulary.BosId is { } begin ? vocabulary.Tokens[begin] : null;
        string? eos = vocabulary.AddsEos == true && vocabulary.EosId is { } end ? vocabulary.Tokens[end] : null;
        if (bos is null && eos is null) return own?.DeepClone();
        JsonObject tokens = [];
        foreach (var (token, id) in new[] { (bos, vocabulary.BosId), (eos, vocabulary.EosId) })
            if (token is not null)
                tokens[token] = new JsonObject { ["id"] = token, ["ids"] = new JsonArray(id!.Value), ["tokens"] = new JsonArray(token) };
        JsonObject template = new()
        {
            ["type"] = "TemplateProcessing", ["single"] = Around(("A", 0)), ["pair"] = Around(("A", 0), ("B", 1)),
                ["special_tokens"] = tokens,
        };
        return own is null ? template
            : new JsonObject { ["type"] = "Sequence", ["processors"] = new JsonArray(own.DeepClone(), template) };

        JsonArray Around(params (string Id, int Type)[] sequences)
        {
            JsonArray items = [];
            foreach (var (id, type) in sequences)
            {
                if (bos is not null) items.Add((JsonNode)Piece("SpecialToken", bos, type));
                items.Add((JsonNode)Piece("Sequence", id, type));
                if (eos is not null) items.Add((JsonNode)Piece("SpecialToken", eos, type));
            }
            return items;
        }

        static JsonObject Piece(string kind, string id, int type) => new() { [kind] = new JsonObject { ["id"] = id, ["type_id"] = type } };
    }
}
