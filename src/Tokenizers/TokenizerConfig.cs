using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers;

/// <summary>The settings that tokenizer_config.json adds to tokenizer.json. Without the file, all have their defaults.</summary>
internal sealed record TokenizerConfig
{
    public string? BosToken { get; init; }

    public string? EosToken { get; init; }

    public string? PadToken { get; init; }

    public string? UnknownToken { get; init; }

    public string? ClsToken { get; init; }

    public string? SepToken { get; init; }

    /// <summary>Whether a sequence begins with the beginning-of-sequence token; null if the file does not say.</summary>
    public bool? AddBosToken { get; init; }

    /// <summary>Whether a sequence ends with the end-of-sequence token; null if the file does not say.</summary>
    public bool? AddEosToken { get; init; }

    /// <summary>
    /// True if decoding removes spaces before punctuation. The default is false, as in transformers since version 4.45.
    /// </summary>
    public bool CleanUpTokenizationSpaces { get; init; }

    /// <summary>All special tokens by role, for example <c>mask_token</c>.</summary>
    public IReadOnlyDictionary<string, string> SpecialTokens { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// True if <see cref="CleanUpTokenizationSpaces"/> also applies to byte-pair encoding, whose tokens have their spaces.
    /// </summary>
    public bool CleanUpBytePairEncoding { get; init; }

    /// <summary>True if special tokens in a text are tokenized as any other text.</summary>
    public bool SplitSpecialTokens { get; init; }

    /// <summary>The name of the tokenizer class, without the suffix "Fast", that the file or the model type names; null if none.</summary>
    public string? ClassName { get; init; }

    /// <summary>The tokenizer class of that name.</summary>
    public TokenizerClass Class => TokenizerClass.Find(ClassName);

    public bool? AddPrefixSpace { get; init; }

    public bool? TrimOffsets { get; init; }

    public bool? DoLowerCase { get; init; }

    public bool? TokenizeChineseChars { get; init; }

    /// <summary>Null if accents are removed exactly where the text is converted to lower case.</summary>
    public bool? StripAccents { get; init; }

    /// <summary>Whether Llama's prefix space comes after each special token; null if the file does not say.</summary>
    public bool? Legacy { get; init; }

    /// <summary>
    /// The sources of the chat templates by name; a single one is "default". The files *.jinja take precedence over this field.
    /// </summary>
    public IReadOnlyDictionary<string, string> ChatTemplates { get; init; } = new Dictionary<string, string>();

    public static TokenizerConfig Read(JsonSection section) => new()
    {
        AddBosToken = section.Optional("add_bos_token")?.Bool(),
        AddEosToken = section.Optional("add_eos_token")?.Bool(),
        CleanUpTokenizationSpaces = section.Bool("clean_up_tokenization_spaces", false),
        CleanUpBytePairEncoding = section.Bool("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", false),
        SplitSpecialTokens = section.Bool("split_special_tokens", false),
        ClassName = TokenizerClass.WithoutFast(section.Optional("tokenizer_class")?.String()),
        AddPrefixSpace = section.Optional("add_prefix_space")?.Bool(),
        TrimOffsets = section.Optional("trim_offsets")?.Bool(),
        DoLowerCase = section.Optional("do_lower_case")?.Bool(),
        TokenizeChineseChars = section.Optional("tokenize_chinese_chars")?.Bool(),
        StripAccents = section.Optional("strip_accents")?.Bool(),
        Legacy = section.Optional("legacy")?.Bool(),
        ChatTemplates = ReadChatTemplates(section),
    };

    /// <summary>
    /// Reads <c>chat_template</c>: one template, a list of objects with a name and a template, or an object of templates.
    /// </summary>
    private static Dictionary<string, string> ReadChatTemplates(JsonSection section)
    {
        Dictionary<string, string> templates = new(StringComparer.Ordinal);
        if (section.Optional("chat_template") is not { } field) return templates;
        if (field.ValueKind == JsonValueKind.Array)
            foreach (JsonSection item in field.Items()) templates[item.Required("name").String()] = item.Required("template").String();
        else if (field.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty item in field.Value.EnumerateObject()) templates[item.Name] = field.Required(item.Name).String();
        else templates[Chat.ChatTemplateSet.Default] = field.String();
        return templates;
    }

    /// <summary>Returns this config with the tokens of the roles.</summary>
    public TokenizerConfig With(AddedTokens.TokenDeclarations tokens) => this with
    {
        BosToken = tokens["bos_token"],
        EosToken = tokens["eos_token"],
        PadToken = tokens["pad_token"],
        UnknownToken = tokens["unk_token"],
        ClsToken = tokens["cls_token"],
        SepToken = tokens["sep_token"],
        SpecialTokens = tokens.ByRole,
    };
}
