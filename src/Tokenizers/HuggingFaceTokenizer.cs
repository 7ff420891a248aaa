using System.Text.Json;
using Ndif.Tokenizers.Chat;
using Ndif.Tokenizers.Decoders;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers;

/// <summary>
/// A tokenizer as Hugging Face writes it, <c>tokenizer.json</c> with an optional <c>tokenizer_config.json</c>: the same ids, tokens,
/// offsets and text as the Python package <c>tokenizers</c> gives. It can be used by many threads at once.
/// </summary>
/// <remarks>
/// Truncation and padding in the file are not applied, as transformers does not either unless asked.
/// The format is described by huggingface/tokenizers, <c>tokenizers/src/tokenizer/serialization.rs</c>.
/// </remarks>
public sealed partial class HuggingFaceTokenizer : Microsoft.ML.Tokenizers.Tokenizer
{
    readonly TokenizerPipeline _pipeline;
    readonly bool _cleanUp;

    HuggingFaceTokenizer(TokenizerPipeline pipeline, TokenizerConfig config)
    {
        _pipeline = pipeline;
        _config = config;
        _chat = new(() => config.ChatTemplate is { } source ? new ChatTemplate(source, "chat_template") : null);
        _cleanUp = config.CleanUp;
        BosId = pipeline.IdOf(config.Bos);
        EosId = pipeline.IdOf(config.Eos);
        PadId = pipeline.IdOf(config.Pad);
        UnknownId = pipeline.IdOf(config.Unknown);
    }

    /// <summary>Reads <c>tokenizer.json</c> and, where they exist, <c>tokenizer_config.json</c> and <c>chat_template.jinja</c> of a model's folder.</summary>
    /// <exception cref="FileNotFoundException">The folder has no tokenizer.json.</exception>
    /// <exception cref="TokenizerFormatException">A file cannot be read; the message says which part of it and why.</exception>
    public static HuggingFaceTokenizer FromFolder(string path)
    {
        string tokenizer = Path.Combine(path, "tokenizer.json"), config = Path.Combine(path, "tokenizer_config.json");
        if (!File.Exists(tokenizer))
            throw new FileNotFoundException($"The folder '{path}' has no tokenizer.json. " +
                "Save the model's fast tokenizer there (in Python: AutoTokenizer.from_pretrained(...).save_pretrained(folder)).",
                tokenizer);
        string chat = Path.Combine(path, "chat_template.jinja");
        return FromJson(File.ReadAllBytes(tokenizer), File.Exists(config) ? File.ReadAllBytes(config) : default,
            File.Exists(chat) ? File.ReadAllBytes(chat) : default);
    }

    /// <summary>Reads the files from memory, UTF-8; without a config no special token but those of tokenizer.json is known.</summary>
    /// <exception cref="TokenizerFormatException">A file cannot be read; the message says which part of it and why.</exception>
    public static HuggingFaceTokenizer FromJson(ReadOnlyMemory<byte> tokenizerJson, ReadOnlyMemory<byte> tokenizerConfigJson = default,
        ReadOnlyMemory<byte> chatTemplate = default)
    {
        var config = tokenizerConfigJson.IsEmpty ? new TokenizerConfig()
            : Read("tokenizer_config.json", tokenizerConfigJson, TokenizerConfig.Read);
        if (!chatTemplate.IsEmpty) config = config with { ChatTemplate = System.Text.Encoding.UTF8.GetString(chatTemplate.Span) };
        return Read("tokenizer.json", tokenizerJson, file => new HuggingFaceTokenizer(new TokenizerPipeline(file, config), config));
    }

    static T Read<T>(string name, ReadOnlyMemory<byte> json, Func<JsonPart, T> read)
    {
        if (json.Span.StartsWith("\uFEFF"u8)) json = json[3..];
        try
        {
            using var document = JsonDocument.Parse(json);
            return read(new JsonPart(document.RootElement, name + ": "));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: an escape in a string that is half a surrogate pair
            throw new TokenizerFormatException(name, e.Message, e);
        }
    }

    /// <summary>The begin-of-sequence token, where the config names one that exists.</summary>
    public int? BosId { get; }

    /// <summary>The end-of-sequence token, where the config names one that exists.</summary>
    public int? EosId { get; }

    /// <summary>The padding token, where the config names one that exists.</summary>
    public int? PadId { get; }

    /// <summary>The unknown token, where the config names one that exists.</summary>
    public int? UnknownId { get; }

    /// <summary>How many tokens there are, added ones included. A model's embedding may have more rows.</summary>
    public int VocabularySize => _pipeline.VocabularySize;

    /// <summary>The special tokens, by id.</summary>
    public IReadOnlyList<string> SpecialTokens => _pipeline.Added.SpecialTokens;

    /// <summary>The id of a token as the vocabulary writes it (<c>ĠParis</c>, <c>▁Paris</c>), or null.</summary>
    public int? TokenToId(string token) => _pipeline.IdOf(token);

    /// <summary>The token of an id as the vocabulary writes it, or null.</summary>
    public string? IdToToken(int id) => _pipeline.TokenOf(id);

    /// <summary>Whether an id is a special token, which <see cref="Decode(IEnumerable{int}, bool)"/> can leave out.</summary>
    public bool IsSpecial(int id) => _pipeline.TokenOf(id) is { } token && _pipeline.Added.IsSpecial(token);

    /// <summary>A text's ids, by default with the special tokens that the model expects around a prompt.</summary>
    /// <exception cref="TokenizerFormatException">
    /// The file's regular expression took too long, or it has no token for a character.
    /// </exception>
    public IReadOnlyList<int> Encode(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Ids(_pipeline.Encode(addSpecialTokens, text.AsSpan()));
    }

    /// <summary>The ids of a pair of texts, put together as the model expects.</summary>
    /// <exception cref="TokenizerFormatException">As for one text.</exception>
    public IReadOnlyList<int> Encode(string text, string second, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(second);
        return Ids(_pipeline.Encode(addSpecialTokens, text, second));
    }

    /// <summary>A text's ids with their tokens and the places they stand for.</summary>
    /// <exception cref="TokenizerFormatException">As for <see cref="Encode(string, bool)"/>.</exception>
    public EncodedText EncodeWithOffsets(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var tokens = _pipeline.Encode(addSpecialTokens, text.AsSpan());
        var codePoints = new CodePointOffsets(text);
        return new EncodedText(
            Ids(tokens),
            [.. tokens.Select(token => _pipeline.TokenOf(token.Id) ?? "")],
            [.. tokens.Select(token => (codePoints.At(token.Origin.Start), codePoints.At(token.Origin.End)))],
            [.. tokens.Select(token => token.Origin.Start..token.Origin.End)]);
    }

    /// <summary>The text of ids. An id that no token has adds nothing, as with Hugging Face.</summary>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens = false)
    {
        string text = _pipeline.Decode(ids, skipSpecialTokens);
        return _cleanUp ? TokenizationSpaceCleanup.ApplyToText(text) : text;
    }

    /// <summary>The text of one id.</summary>
    public string Decode(int id, bool skipSpecialTokens = false) => Decode([id], skipSpecialTokens);

    /// <summary>The text of each row of ids.</summary>
    public IReadOnlyList<string> BatchDecode(IEnumerable<IEnumerable<int>> rows, bool skipSpecialTokens = false) =>
        [.. rows.Select(ids => Decode(ids, skipSpecialTokens))];

    /// <summary>The text of each id alone.</summary>
    public IReadOnlyList<string> BatchDecode(IEnumerable<int> ids, bool skipSpecialTokens = false) =>
        [.. ids.Select(id => Decode(id, skipSpecialTokens))];

    /// <summary>A decoder for ids that come one by one.</summary>
    public StreamingDecoder NewStream(bool skipSpecialTokens = false) => new(_pipeline, skipSpecialTokens, _cleanUp);

    static int[] Ids(List<Token> tokens)
    {
        int[] ids = new int[tokens.Count];
        for (int i = 0; i < ids.Length; i++) ids[i] = tokens[i].Id;
        return ids;
    }
}
