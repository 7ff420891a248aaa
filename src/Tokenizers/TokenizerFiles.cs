namespace Ndif.Tokenizers;

/// <summary>The files of a model's folder from which a tokenizer is built.</summary>
public static class TokenizerFiles
{
    /// <summary>The whole tokenizer in one file.</summary>
    public const string TokenizerJson = "tokenizer.json";

    /// <summary>The settings and special tokens.</summary>
    public const string Config = "tokenizer_config.json";

    internal const string ModelConfig = "config.json";
    internal const string SpecialTokensMap = "special_tokens_map.json";
    internal const string AddedTokens = "added_tokens.json";
    internal const string ChatTemplate = "chat_template.jinja";
    internal const string Vocabulary = "vocab.json";
    internal const string Merges = "merges.txt";
    internal const string WordPieceVocabulary = "vocab.txt";

    /// <summary>The folder of the chat templates that have names; the name of a file is that of its template.</summary>
    private const string AdditionalChatTemplates = "additional_chat_templates/";

    /// <summary>The names of a SentencePiece model; the first that exists is used.</summary>
    internal static readonly string[] SentencePieceModels = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"];

    /// <summary>The names of all files that a tokenizer can be built from.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        TokenizerJson, Config, SpecialTokensMap, AddedTokens, ChatTemplate, Vocabulary, Merges, WordPieceVocabulary, .. SentencePieceModels,
    ];

    /// <summary>
    /// Selects the files to read: the settings that exist, and tokenizer.json, or, without it, the vocabulary of an older format:
    /// vocab.json with merges.txt, tokenizer.model, or vocab.txt.
    /// </summary>
    /// <param name="exists">Returns true if the folder has the file of a name.</param>
    /// <returns>The names of the files.</returns>
    public static IReadOnlyList<string> Select(Func<string, bool> exists)
    {
        ArgumentNullException.ThrowIfNull(exists);
        return [.. new[] { Config, SpecialTokensMap, AddedTokens, ChatTemplate }.Where(exists), .. SelectVocabulary(exists)];
    }

    /// <summary>Lists the files <c>additional_chat_templates/*.jinja</c> of a folder, with the name of that folder.</summary>
    public static IEnumerable<string> ListAdditionalChatTemplates(string path)
    {
        string folder = Path.Combine(path, AdditionalChatTemplates);
        return Directory.Exists(folder)
            ? Directory.EnumerateFiles(folder, "*.jinja").Select(file => AdditionalChatTemplates + Path.GetFileName(file)) : [];
    }

    /// <summary>True for <c>additional_chat_templates/NAME.jinja</c>.</summary>
    public static bool IsAdditionalChatTemplate(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.StartsWith(AdditionalChatTemplates, StringComparison.Ordinal) && name.EndsWith(".jinja", StringComparison.Ordinal)
            && !name[AdditionalChatTemplates.Length..].Contains('/');
    }

    /// <summary>True if the files contain a vocabulary, so that a tokenizer can be built.</summary>
    /// <param name="exists">Returns true if the folder has the file of a name.</param>
    public static bool HaveVocabulary(Func<string, bool> exists)
    {
        ArgumentNullException.ThrowIfNull(exists);
        return SelectVocabulary(exists).Length > 0;
    }

    internal static string[] SelectVocabulary(Func<string, bool> exists) =>
        exists(TokenizerJson) ? [TokenizerJson]
        : exists(Vocabulary) && exists(Merges) ? [Vocabulary, Merges]
        : SentencePieceModels.FirstOrDefault(exists) is { } model ? [model]
        : exists(WordPieceVocabulary) ? [WordPieceVocabulary]
        : [];
}
