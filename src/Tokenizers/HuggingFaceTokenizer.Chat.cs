using System.Text;
using Ndif.Tokenizers.Chat;

namespace Ndif.Tokenizers;

public sealed partial class HuggingFaceTokenizer
{
    private readonly ChatTemplateSet _chatTemplates;
    private readonly TokenizerConfig _config;

    /// <summary>True if the model's files contain a chat template.</summary>
    public bool HasChatTemplate => _config.ChatTemplates.Count > 0;

    /// <summary>
    /// Formats a conversation with the model's chat template. The result contains the special tokens; encode it with
    /// <c>addSpecialTokens: false</c>, or call <see cref="EncodeChat"/>.
    /// </summary>
    /// <param name="messages">The messages of the conversation, oldest first.</param>
    /// <param name="addGenerationPrompt">True to append the tokens that begin a message of the assistant.</param>
    /// <param name="variables">
    /// Additional variables of the template, for example <c>tools</c> or <c>enable_thinking</c>. The values are strings, numbers,
    /// Booleans, lists, dictionaries with string keys, or <see cref="System.Text.Json.JsonElement"/> values.
    /// </param>
    /// <param name="chatTemplate">
    /// The name of one of the model's chat templates, or the source of another template. If it is null, the model's template "tool_use" is
    /// used when <paramref name="variables"/> contains <c>tools</c> and the model has one, and its template "default" otherwise.
    /// </param>
    /// <param name="time">The clock and time zone for templates that print the date; null for <see cref="TimeProvider.System"/>.</param>
    /// <returns>The formatted conversation.</returns>
    /// <exception cref="TokenizerFormatException">
    /// The files have no <c>chat_template</c> or none of this name, or the template cannot be parsed, or it rejects the conversation
    /// (<c>raise_exception</c>), or it exceeds the limits on steps and output.
    /// </exception>
    /// <exception cref="ArgumentException">A value has a type that a template cannot represent.</exception>
    /// <remarks>The counterpart of transformers' <c>apply_chat_template</c> with <c>tokenize=False</c>.</remarks>
    public string ApplyChatTemplate(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = false,
        IReadOnlyDictionary<string, object?>? variables = null, TimeProvider? time = null, string? chatTemplate = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        bool hasTools = variables?.TryGetValue("tools", out object? tools) == true
            && tools is not (null or System.Text.Json.JsonElement { ValueKind: System.Text.Json.JsonValueKind.Null });
        ChatTemplate template = _chatTemplates.Select(chatTemplate, hasTools);
        Dictionary<string, object?> allVariables = new(StringComparer.Ordinal)
        {
            ["messages"] = messages,
            ["tools"] = null,
            ["documents"] = null,
            ["add_generation_prompt"] = addGenerationPrompt,
        };
        // a missing token is undefined in the template, not none
        foreach (var (role, token) in _config.SpecialTokens) allVariables[role] = token;
        foreach (var (name, value) in variables ?? new Dictionary<string, object?>()) allVariables[name] = value;
        return template.Render(allVariables, time);
    }

    /// <summary>Formats a conversation with the model's chat template and encodes it.</summary>
    /// <param name="messages">The messages of the conversation, oldest first.</param>
    /// <param name="addGenerationPrompt">True to append the tokens that begin a message of the assistant.</param>
    /// <param name="variables">Additional variables of the template, as for <see cref="ApplyChatTemplate"/>.</param>
    /// <param name="chatTemplate">The name or source of a template, as for <see cref="ApplyChatTemplate"/>.</param>
    /// <returns>The token ids.</returns>
    /// <exception cref="TokenizerFormatException">
    /// As for <see cref="ApplyChatTemplate"/> and <see cref="Encode(string, bool)"/>.
    /// </exception>
    /// <remarks>The counterpart of transformers' <c>apply_chat_template</c> with <c>tokenize=True</c>.</remarks>
    public IReadOnlyList<int> EncodeChat(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = false,
        IReadOnlyDictionary<string, object?>? variables = null, string? chatTemplate = null) =>
        Encode(ApplyChatTemplate(messages, addGenerationPrompt, variables, chatTemplate: chatTemplate), addSpecialTokens: false);
}
