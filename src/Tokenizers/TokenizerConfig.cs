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

    /// <summary>The source of the chat template. The file chat_template.jinja takes precedence over this field.</summary>
    public string? ChatTemplate { get; init; }

    public static TokenizerConfig Read(JsonSection section) => new()
    {
        BosToken = ReadToken(section, "bos_token"),
        EosToken = ReadToken(section, "eos_token"),
        PadToken = ReadToken(section, "pad_token"),
        UnknownToken = ReadToken(section, "unk_token"),
        AddBosToken = section.Bool("add_bos_token", false),
        AddEosToken = section.Bool("add_eos_token", false),
        CleanUpTokenizationSpaces = section.Bool("clean_up_tokenization_spaces", false),
        ChatTemplate = ReadChatTemplate(section),
    };

    /// <summary>Reads <c>chat_template</c>: one template, or a list of named templates, of which the one named "default" is used.</summary>
    private static string? ReadChatTemplate(JsonSection section)
    {
        if (section.Optional("chat_template") is not { } template) return null;
        if (template.ValueKind != JsonValueKind.Array) return template.String();
        return template.Items()
            .Where(item => item.Required("name").String() == "default")
            .Select(item => item.Required("template").String())
            .FirstOrDefault();
    }

    /// <summary>Reads a token: a string such as <c>"&lt;s&gt;"</c>, or an object with the string as its field <c>content</c>.</summary>
    private static string? ReadToken(JsonSection section, string name) => section.Optional(name) is not { } token ? null
        : token.ValueKind == JsonValueKind.Object ? token.Required("content").String()
        : token.String();
}
