using System.Text;
using Ndif.Tokenizers.Chat;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers;

public sealed partial class HuggingFaceTokenizer
{
    readonly Lazy<ChatTemplate?> _chat;
    readonly TokenizerConfig _config;

    /// <summary>True if the model's files say how a conversation is written.</summary>
    public bool HasChatTemplate => _config.ChatTemplate is not null;

    /// <summary>A conversation as the model expects it, special tokens included; encode it with <c>addSpecialTokens: false</c>.</summary>
    /// <param name="messages">The turns so far.</param>
    /// <param name="addGenerationPrompt">Ends with what begins the model's own turn.</param>
    /// <param name="variables">
    /// More that the template may read: <c>tools</c>, <c>enable_thinking</c>, ... Texts, numbers, flags, lists, dictionaries by text, JSON.
    /// </param>
    /// <param name="time">For templates that write the date; null for the system's.</param>
    /// <exception cref="TokenizerFormatException">
    /// The files have no chat_template, or it cannot be read, or it refuses the conversation.
    /// </exception>
    public string ApplyChatTemplate(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = false,
        IReadOnlyDictionary<string, object?>? variables = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        ChatTemplate template = _chat.Value ?? throw new TokenizerFormatException("tokenizer_config.json: chat_template",
            "is missing: this model's files do not say how a conversation is written. Write the prompt by hand, or give the tokenizer a chat_template.jinja.");
        Dictionary<string, object?> all = new(StringComparer.Ordinal) { ["messages"] = messages, ["tools"] = null, ["documents"] = null, ["add_generation_prompt"] = addGenerationPrompt };
        foreach (var (name, token) in (ReadOnlySpan<(string, string?)>)[("bos_token", _config.Bos), ("eos_token", _config.Eos), ("pad_token", _config.Pad), ("unk_token", _config.Unknown)])
            if (token is not null) all[name] = token;
        foreach (var (name, value) in variables ?? new Dictionary<string, object?>()) all[name] = value;
        return template.Render(all, time);
    }

    /// <summary>The ids of a conversation as the model expects it; arguments as of <see cref="ApplyChatTemplate"/>.</summary>
    /// <exception cref="TokenizerFormatException">As for <see cref="ApplyChatTemplate"/>.</exception>
    public IReadOnlyList<int> EncodeChat(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = false, IReadOnlyDictionary<string, object?>? variables = null) =>
        Encode(ApplyChatTemplate(messages, addGenerationPrompt, variables), addSpecialTokens: false);
}
