using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers;

/// <summary>What tokenizer_config.json says that tokenizer.json does not; all null without the file.</summary>
internal sealed record TokenizerConfig
{
    public string? Bos { get; init; }
    public string? Eos { get; init; }
    public string? Pad { get; init; }
    public string? Unknown { get; init; }
    public bool AddBos { get; init; }
    public bool AddEos { get; init; }

    /// <summary>Whether decoding takes out spaces before punctuation; since transformers 4.45 only where the file asks for it.</summary>
    public bool CleanUp { get; init; }

    /// <summary>How a conversation is written; a file of its own, chat_template.jinja, goes before it.</summary>
    public string? ChatTemplate { get; init; }

    public static TokenizerConfig Read(JsonPart part) => new()
    {
        Bos = Token(part, "bos_token"),
        Eos = Token(part, "eos_token"),
        Pad = Token(part, "pad_token"),
        Unknown = Token(part, "unk_token"),
        AddBos = part.Bool("add_bos_token", false),
        AddEos = part.Bool("add_eos_token", false),
        CleanUp = part.Bool("clean_up_tokenization_spaces", false),
        ChatTemplate = Chat(part),
    };

    /// <summary>One template, or several with names, of which "default" is meant.</summary>
    static string? Chat(JsonPart part)
    {
        if (part.Optional("chat_template") is not { } template) return null;
        if (template.ValueKind != System.Text.Json.JsonValueKind.Array) return template.String();
        return template.Items().Where(item => item.Required("name").String() == "default").Select(item => item.Required("template").String()).FirstOrDefault();
    }

    /// <summary><c>"&lt;s&gt;"</c>, or an object whose content it is.</summary>
    static string? Token(JsonPart part, string name) => part.Optional(name) is not { } token ? null
        : token.ValueKind == System.Text.Json.JsonValueKind.Object ? token.Required("content").String()
        : token.String();
}
