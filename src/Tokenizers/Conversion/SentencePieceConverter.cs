using System.Text.Json.Nodes;

namespace Ndif.Tokenizers.Conversion;

/// <summary>Builds a tokenizer.json from a SentencePiece model, as the tokenizer classes of transformers do.</summary>
/// <remarks>
/// transformers 5, convert_slow_tokenizer.py, SentencePieceExtractor and SpmConverter, and models/*/tokenization_*.py.
/// </remarks>
internal static class SentencePieceConverter
{
    private const string ReplaceDecoder = """{"type":"Replace","pattern":{"String":"▁"},"content":" "}""";

    /// <summary>Builds the tokenizer and the tokens that a class without tokens of its own takes from the model.</summary>
    public static byte[] Convert(SentencePieceModelFile file, TokenizerConfig config) =>
        VocabularyFileConverter.Serialize(Build(file, config));

    private static JsonObject Build(SentencePieceModelFile file, TokenizerConfig config) => config.Class.Kind switch
    {
        TokenizerKind.Llama => Llama(file, config),
        TokenizerKind.Gemma => Gemma(file, config),
        TokenizerKind.SentencePiece when config.ClassName == "T5Tokenizer" => T5(file),
        TokenizerKind.SentencePiece => XlmRoberta(file, config),
        TokenizerKind.Generic => Generic(file),
        _ => throw new TokenizerFormatException("tokenizer_config.json: tokenizer_class",
            $"a {config.ClassName} cannot be built from a SentencePiece model. " + TokenizerFolder.HowToSave),
    };

    private static JsonObject Llama(SentencePieceModelFile file, TokenizerConfig config)
    {
        // Metaspace and the decoder are set for the class (StageOverrides).
        var root = Root(file, Bpe(file, unknown: null, byteFallback: true));
        root["post_processor"] = BosTemplate(file, config);
        return root;
    }

    private static JsonObject Gemma(SentencePieceModelFile file, TokenizerConfig config)
    {
        var root = Root(file, Bpe(file, config.UnknownToken ?? "<unk>", byteFallback: true));
        root["normalizer"] = JsonNode.Parse("""{"type":"Replace","pattern":{"String":" "},"content":"▁"}""");
        root["pre_tokenizer"] = JsonNode.Parse(
            """{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false}""");
        root["decoder"] = Sequence("decoders", ReplaceDecoder, """{"type":"ByteFallback"}""", """{"type":"Fuse"}""");
        root["post_processor"] = BosTemplate(file, config);
        return root;
    }

    /// <summary>T5: the pieces, followed by the sentinels in reverse order; the text ends with the end-of-sequence token.</summary>
    private static JsonObject T5(SentencePieceModelFile file)
    {
        var tokens = file.Pieces.Select(piece => (piece.Text, (double)piece.Score)).ToList();
        for (int i = 99; i >= 0; i--) tokens.Add(($"<extra_id_{i}>", 0));
        var root = Root(file, Unigram(tokens, file.UnknownId, byteFallback: false));
        var added = (JsonArray)root["added_tokens"]!;
        for (int i = 0; i < 100; i++) added.Add((JsonNode)AddedToken(tokens.Count - 1 - i, $"<extra_id_{i}>", special: true));
        SetMetaspace(root, file, "always");
        int eos = file.EosId;
        root["post_processor"] = eos < 0 ? null : Template(["A", eos], ["A", eos, "B", eos], (file.Pieces[eos].Text, eos));
        return root;
    }

    /// <summary>XLM-RoBERTa: four tokens of fairseq, the pieces after the first three, and the mask token.</summary>
    private static JsonObject XlmRoberta(SentencePieceModelFile file, TokenizerConfig config)
    {
        List<(string, double)> tokens = [("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0),
            .. file.Pieces.Skip(3).Select(piece => (piece.Text, (double)piece.Score)), ("<mask>", 0)];
        JsonObject root = new() { ["added_tokens"] = new JsonArray(), ["model"] = Unigram(tokens, unknownId: 3, byteFallback: false) };
        SetMetaspace(root, file, config.AddPrefixSpace == false ? "never" : "always");
        root["post_processor"] = Template([0, "A", 2], [0, "A", 2, 2, "B", 2], ("<s>", 0), ("</s>", 2));
        return root;
    }

    /// <summary>A class that is not known: no prefix is added (SpmConverter.build_tokenizer_from_spm_proto).</summary>
    private static JsonObject Generic(SentencePieceModelFile file)
    {
        var root = Root(file, file.IsBpe ? Bpe(file, file.UnknownPiece, file.ByteFallback)
            : Unigram([.. file.Pieces.Select(piece => (piece.Text, (double)piece.Score))], file.UnknownId, file.ByteFallback));
        const string Replace = """{"type":"Replace","pattern":{"String":" "},"content":"▁"}""";
        root["normalizer"] = file.CharacterMap.Length == 0 ? JsonNode.Parse(Replace)
            : new JsonObject { ["type"] = "Sequence", ["normalizers"] = new JsonArray(CharacterMap(file), JsonNode.Parse(Replace)) };
        root["decoder"] = file.ByteFallback
            ? Sequence("decoders", ReplaceDecoder, """{"type":"ByteFallback"}""", """{"type":"Fuse"}""") : JsonNode.Parse(ReplaceDecoder);
        return root;
    }

    /// <summary>The fields that all classes have: control tokens are special tokens, and user-defined tokens are added tokens.</summary>
    private static JsonObject Root(SentencePieceModelFile file, JsonObject model)
    {
        var added = new JsonArray();
        for (int id = 0; id < file.Pieces.Count; id++)
            if (file.Pieces[id] is { Type: SentencePieceType.Control or SentencePieceType.UserDefined } piece)
                added.Add((JsonNode)AddedToken(id, piece.Text, piece.Type == SentencePieceType.Control));
        return new JsonObject { ["added_tokens"] = added, ["model"] = model };
    }

    private static JsonObject AddedToken(int id, string content, bool special) => new()
    {
        ["id"] = id, ["content"] = content, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false,
        ["special"] = special,
    };

    private static JsonObject Bpe(SentencePieceModelFile file, string? unknown, bool byteFallback)
    {
        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int id = 0; id < file.Pieces.Count; id++) vocabulary[file.Pieces[id].Text] = id;
        JsonObject tokens = [];
        foreach (var (token, id) in vocabulary) tokens[token] = id;
        return new JsonObject
        {
            ["type"] = "BPE",
            ["unk_token"] = unknown,
            ["fuse_unk"] = true,
            ["byte_fallback"] = byteFallback,
            ["vocab"] = tokens,
            ["merges"] = new JsonArray([.. MergeGenerator.Generate(vocabulary).Select(merge => new JsonArray(merge.Left, merge.Right))]),
        };
    }

    private static JsonObject Unigram(List<(string Token, double Score)> tokens, int unknownId, bool byteFallback) => new()
    {
        ["type"] = "Unigram",
        ["unk_id"] = unknownId,
        ["byte_fallback"] = byteFallback,
        ["vocab"] = new JsonArray([.. tokens.Select(token => new JsonArray(token.Token, token.Score))]),
    };

    /// <summary>Words are split at white space and begin with '▁'.</summary>
    private static void SetMetaspace(JsonObject root, SentencePieceModelFile file, string scheme)
    {
        string metaspace = $$"""{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}","split":true}""";
        root["normalizer"] = file.CharacterMap.Length == 0 ? null : CharacterMap(file);
        root["pre_tokenizer"] = Sequence("pretokenizers", """{"type":"WhitespaceSplit"}""", metaspace);
        root["decoder"] = JsonNode.Parse(metaspace);
    }

    private static JsonObject CharacterMap(SentencePieceModelFile file) =>
        new() { ["type"] = "Precompiled", ["precompiled_charsmap"] = System.Convert.ToBase64String(file.CharacterMap) };

    private static JsonObject Sequence(string field, params string[] stages) =>
        new() { ["type"] = "Sequence", [field] = new JsonArray([.. stages.Select(stage => JsonNode.Parse(stage))]) };

    private static JsonObject? BosTemplate(SentencePieceModelFile file, TokenizerConfig config)
    {
        // add_bos_token and add_eos_token are applied to it (BosEosPostProcessor).
        string bos = config.BosToken ?? "";
        int id = file.Pieces.FindIndex(piece => piece.Text == bos);
        return id < 0 ? null : Template([id, "A"], [id, "A", id, "B"], (bos, id));
    }

    /// <summary>A template of the sequences "A" and "B" and of the ids of tokens.</summary>
    private static JsonObject Template(object[] single, object[] pair, params (string Text, int Id)[] tokens)
    {
        return new JsonObject
        {
            ["type"] = "TemplateProcessing",
            ["single"] = Pieces(single),
            ["pair"] = Pieces(pair),
            ["special_tokens"] = Tokens(),
        };

        JsonArray Pieces(object[] pieces) => new([.. pieces.Select(piece => piece is string sequence
            ? Piece("Sequence", sequence) : Piece("SpecialToken", tokens.First(token => token.Id == (int)piece).Text))]);

        static JsonObject Piece(string kind, string id) => new() { [kind] = new JsonObject { ["id"] = id, ["type_id"] = 0 } };

        JsonObject Tokens()
        {
            JsonObject result = [];
            foreach (var (text, id) in tokens)
                result[text] = new JsonObject { ["id"] = text, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(text) };
            return result;
        }
    }
}
