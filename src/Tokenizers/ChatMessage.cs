namespace Ndif.Tokenizers;

/// <summary>One message of a conversation, the input of <see cref="HuggingFaceTokenizer.ApplyChatTemplate"/>.</summary>
/// <param name="Role">The author: "system", "user", "assistant", or another role that the model's chat template supports.</param>
/// <param name="Content">The text of the message.</param>
/// <remarks>
/// The counterpart of the dictionaries that transformers' <c>apply_chat_template</c> takes, with the keys <c>role</c> and <c>content</c>.
/// </remarks>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>
    /// Further fields of the message that a chat template can read, such as <c>tool_calls</c>. The values are strings, numbers,
    /// Booleans, lists, dictionaries with string keys, or <see cref="System.Text.Json.JsonElement"/> values. A field named
    /// <c>role</c> or <c>content</c> replaces the property of the same name.
    /// </summary>
    public IReadOnlyDictionary<string, object?>? AdditionalFields { get; init; }
}
