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

    public bool AddBosToken { get; init; }

    public bool AddEosToken { get; init; }

    /// <summary>
    /// True if decoding removes spaces before punctuation. The default is false, as in transformers since version 4.45.
    /// </summary>
    public bool CleanUpTokenizationSpaces { get; init; }

    /// <summary>
    /// The sources of the chat templates by name; a single one is "default". The files *.jinja take precedence over this field.
    /// </summary>
    public IReadOnlyDictionary<string, string> ChatTemplates { get; init; } = new Dictionary<string, string>();

    public static TokenizerConfig Read(JsonSection section) => new()
    {
        BosToken = ReadToken(section, "bos_token"),
        EosToken = ReadToken(section, "eos_token"),
        PadToken = ReadToken(section, "pad_token"),
        UnknownToken = ReadToken(section, "unk_token"),
        AddBosToken = section.Bool("add_bos_token", false),
        AddEosToken = section.Bool("add_eos_token", false),
        CleanUpTokenizationSpaces = section.Bool("clean_up_tokenization_spaces", false),
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

    /// <summary>Reads a token: a string such as <c>"&lt;s&gt;"</c>, or an object with the string as its field <c>content</c>.</summary>
    private static string? ReadToken(JsonSection section, string name) => section.Optional(name) is not { } token ? null
        : token.ValueKind == JsonValueKind.Object ? token.Required("content").String()
        : token.String();
}
