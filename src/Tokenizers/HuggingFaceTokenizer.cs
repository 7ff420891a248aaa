using Ndif.Tokenizers.Chat;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers;

/// <summary>
/// A tokenizer in Hugging Face's format: <c>tokenizer.json</c> with an optional <c>tokenizer_config.json</c>, or the vocabulary files
/// of older models. It gives the same ids, tokens, offsets and text as transformers. All members are thread-safe.
/// </summary>
/// <remarks>
/// Truncation and padding settings in the file are ignored; transformers also applies them only on request.
/// The format is defined by huggingface/tokenizers, <c>tokenizers/src/tokenizer/serialization.rs</c>.
/// </remarks>
public sealed partial class HuggingFaceTokenizer : Microsoft.ML.Tokenizers.Tokenizer
{
    private readonly TokenizerPipeline _pipeline;

    private HuggingFaceTokenizer(TokenizerPipeline pipeline, TokenizerConfig config)
    {
        _pipeline = pipeline;
        _config = config;
        _chatTemplates = new ChatTemplateSet(config.ChatTemplates);
        BosId = pipeline.IdOf(config.BosToken);
        EosId = pipeline.IdOf(config.EosToken);
        PadId = pipeline.IdOf(config.PadToken);
        MaskId = pipeline.IdOf(config.SpecialTokens.GetValueOrDefault("mask_token"));
        UnknownId = pipeline.IdOf(config.UnknownToken);
    }

    /// <summary>
    /// Reads a model's folder: <c>tokenizer.json</c>, or, without it, <c>vocab.json</c> with <c>merges.txt</c>, a SentencePiece model
    /// (<c>tokenizer.model</c>) or <c>vocab.txt</c>, with its settings, special tokens and chat templates.
    /// </summary>
    /// <param name="path">The folder of the model, such as a snapshot folder of Hugging Face's cache.</param>
    /// <exception cref="FileNotFoundException">The folder has none of these files.</exception>
    /// <exception cref="TokenizerFormatException">
    /// A file cannot be read. The message gives the location in the file and the reason.
    /// </exception>
    public static HuggingFaceTokenizer FromFolder(string path)
    {
        bool Exists(string name) => File.Exists(Path.Combine(path, name));
        if (!TokenizerFiles.HaveVocabulary(Exists))
            throw new FileNotFoundException($"The folder '{path}' has no tokenizer.json, and no vocab.json with merges.txt, " +
                $"tokenizer.model or vocab.txt from which one can be built. {TokenizerFolder.HowToSave}",
                Path.Combine(path, TokenizerFiles.TokenizerJson));
        var names = TokenizerFiles.Select(Exists).ToList();
        if (Exists(TokenizerFiles.ModelConfig)) names.Add(TokenizerFiles.ModelConfig);
        names.AddRange(TokenizerFiles.ListAdditionalChatTemplates(path));
        return FromFiles(names.ToDictionary(name => name, name => (ReadOnlyMemory<byte>)File.ReadAllBytes(Path.Combine(path, name))));
    }

    /// <summary>Reads a tokenizer from the content of its files.</summary>
    /// <param name="files">
    /// The contents by file name: those of <see cref="TokenizerFiles.Names"/> that the folder has,
    /// <c>additional_chat_templates/*.jinja</c>, and <c>config.json</c>, whose <c>model_type</c> names the tokenizer class if
    /// tokenizer_config.json does not. Other files are ignored.
    /// </param>
    /// <exception cref="TokenizerFormatException">
    /// A file cannot be read, or there is no vocabulary. The message gives the location in the file and the reason.
    /// </exception>
    public static HuggingFaceTokenizer FromFiles(IReadOnlyDictionary<string, ReadOnlyMemory<byte>> files)
    {
        ArgumentNullException.ThrowIfNull(files);
        var (pipeline, config) = new TokenizerFolder(files).Read();
        return new HuggingFaceTokenizer(pipeline, config);
    }

    /// <summary>Reads a tokenizer from the content of its main files.</summary>
    /// <param name="tokenizerJson">The content of <c>tokenizer.json</c>, UTF-8.</param>
    /// <param name="tokenizerConfigJson">
    /// The content of <c>tokenizer_config.json</c>, UTF-8. If it is empty, <see cref="BosId"/>, <see cref="EosId"/>,
    /// <see cref="PadId"/> and <see cref="UnknownId"/> are null.
    /// </param>
    /// <param name="chatTemplate">
    /// The content of <c>chat_template.jinja</c>, UTF-8. If it is empty, the <c>chat_template</c> of the config is used.
    /// </param>
    /// <exception cref="TokenizerFormatException">
    /// A file cannot be read. The message gives the location in the file and the reason.
    /// </exception>
    public static HuggingFaceTokenizer FromJson(ReadOnlyMemory<byte> tokenizerJson, ReadOnlyMemory<byte> tokenizerConfigJson = default,
        ReadOnlyMemory<byte> chatTemplate = default) => FromFiles(new Dictionary<string, ReadOnlyMemory<byte>>
        {
            [TokenizerFiles.TokenizerJson] = tokenizerJson,
            [TokenizerFiles.Config] = tokenizerConfigJson,
            [TokenizerFiles.ChatTemplate] = chatTemplate,
        });

    /// <summary>The id of the beginning-of-sequence token; null if the config names none or the vocabulary lacks it.</summary>
    public int? BosId { get; }

    /// <summary>The id of the end-of-sequence token; null if the config names none or the vocabulary lacks it.</summary>
    public int? EosId { get; }

    /// <summary>The id of the padding token; null if the config names none or the vocabulary lacks it.</summary>
    public int? PadId { get; }

    /// <summary>The id of the token that a masked language model fills; null if the config names none or the vocabulary lacks it.</summary>
    public int? MaskId { get; }

    /// <summary>The id of the unknown token; null if the config names none or the vocabulary lacks it.</summary>
    public int? UnknownId { get; }

    /// <summary>
    /// The number of tokens, including added tokens: <c>len(tokenizer)</c> in transformers. The embedding of a model can have more rows.
    /// </summary>
    public int VocabularySize => _pipeline.VocabularySize;

    /// <summary>The special tokens, ordered by id.</summary>
    public IReadOnlyList<string> SpecialTokens => _pipeline.Added.SpecialTokens;

    /// <summary>Returns the id of a token, or null if the vocabulary does not contain it.</summary>
    /// <param name="token">The token as the vocabulary spells it, for example <c>ĠParis</c> or <c>▁Paris</c>.</param>
    public int? TokenToId(string token) => _pipeline.IdOf(token);

    /// <summary>Returns the token of an id as the vocabulary spells it, or null if no token has this id.</summary>
    public string? IdToToken(int id) => _pipeline.TokenOf(id);

    /// <summary>Returns true if an id is that of a special token, which <see cref="Decode(IEnumerable{int}, bool)"/> can skip.</summary>
    public bool IsSpecial(int id) => _pipeline.TokenOf(id) is { } token && _pipeline.Added.IsSpecial(token);

    /// <summary>Encodes a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecialTokens">True to add the special tokens that the model expects around a prompt.</param>
    /// <returns>The token ids.</returns>
    /// <exception cref="TokenizerFormatException">
    /// A regular expression of the file takes too long on this text, or the vocabulary has neither a token for a character nor an
    /// unknown token, or a stage makes the text unreasonably long.
    /// </exception>
    public IReadOnlyList<int> Encode(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        return GetIds(_pipeline.Encode(addSpecialTokens, text.AsSpan()));
    }

    /// <summary>Encodes a pair of texts, combined as the post-processor of the file specifies.</summary>
    /// <param name="text">The first text.</param>
    /// <param name="second">The second text.</param>
    /// <param name="addSpecialTokens">True to add the special tokens that the model expects around and between the texts.</param>
    /// <returns>The token ids.</returns>
    /// <exception cref="TokenizerFormatException">As for <see cref="Encode(string, bool)"/>.</exception>
    public IReadOnlyList<int> Encode(string text, string second, bool addSpecialTokens = true) =>
        EncodePair(text, second, addSpecialTokens).Ids;

    /// <summary>Encodes a pair of texts and returns, for each token, the text of the pair that it belongs to.</summary>
    /// <inheritdoc cref="Encode(string, string, bool)"/>
    /// <returns>The token ids, and <c>token_type_ids</c> of the same length.</returns>
    public (IReadOnlyList<int> Ids, IReadOnlyList<int> TypeIds) EncodePair(string text, string second, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(second);
        List<Token> tokens = _pipeline.Encode(addSpecialTokens, text, second);
        return (GetIds(tokens), [.. tokens.Select(token => token.TypeId)]);
    }

    /// <summary>Encodes a text and returns the tokens and their offsets in addition to the ids.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecialTokens">True to add the special tokens that the model expects around a prompt.</param>
    /// <exception cref="TokenizerFormatException">As for <see cref="Encode(string, bool)"/>.</exception>
    public EncodedText EncodeWithOffsets(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var tokens = _pipeline.Encode(addSpecialTokens, text.AsSpan());
        var codePoints = new CodePointOffsets(text);
        return new EncodedText(
            GetIds(tokens),
            [.. tokens.Select(token => _pipeline.TokenOf(token.Id) ?? "")],
            [.. tokens.Select(token => (codePoints.FromUtf16(token.Origin.Start), codePoints.FromUtf16(token.Origin.End)))],
            [.. tokens.Select(token => token.Origin.Start..token.Origin.End)]);
    }

    /// <summary>Decodes token ids.</summary>
    /// <param name="ids">The token ids. An id that no token has adds no text, as in Hugging Face tokenizers.</param>
    /// <param name="skipSpecialTokens">True to leave out the special tokens.</param>
    /// <exception cref="TokenizerFormatException">
    /// The decoder of the file makes the text unreasonably long, or its regular expression takes too long.
    /// </exception>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens = false) => _pipeline.Decode(ids, skipSpecialTokens);

    /// <summary>Decodes one token id.</summary>
    /// <inheritdoc cref="Decode(IEnumerable{int}, bool)"/>
    public string Decode(int id, bool skipSpecialTokens = false) => Decode([id], skipSpecialTokens);

    /// <summary>Decodes each sequence of token ids to one text.</summary>
    /// <inheritdoc cref="Decode(IEnumerable{int}, bool)"/>
    public IReadOnlyList<string> BatchDecode(IEnumerable<IEnumerable<int>> sequences, bool skipSpecialTokens = false) =>
        [.. sequences.Select(ids => Decode(ids, skipSpecialTokens))];

    /// <summary>Decodes each token id on its own.</summary>
    /// <inheritdoc cref="Decode(IEnumerable{int}, bool)"/>
    public IReadOnlyList<string> BatchDecode(IEnumerable<int> ids, bool skipSpecialTokens = false) =>
        [.. ids.Select(id => Decode(id, skipSpecialTokens))];

    /// <summary>Creates a decoder that takes token ids one at a time, for text that is generated token by token.</summary>
    /// <param name="skipSpecialTokens">True to leave out the special tokens.</param>
    public StreamingDecoder NewStream(bool skipSpecialTokens = false) => new(_pipeline, skipSpecialTokens);

    private static int[] GetIds(List<Token> tokens)
    {
        int[] ids = new int[tokens.Count];
        for (int i = 0; i < ids.Length; i++) ids[i] = tokens[i].Id;
        return ids;
    }
}
