namespace Ndif.Tokenizers;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">"system", "user", "assistant", or what else the model's template knows.</param>
/// <param name="Content">What was said.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>
    /// Further fields that a template may read, such as tool_calls: texts, numbers, flags, lists, dictionaries by text, JSON elements.
    /// </summary>
    public IReadOnlyDictionary<string, object?>? More { get; init; }
}
