namespace Ndif.Tokenizers.Chat;

/// <summary>The result of namespace(): the only value whose fields a template can set from inside a loop.</summary>
/// <remarks>jinja2/utils.py, Namespace</remarks>
internal sealed class NamespaceValue(IReadOnlyDictionary<string, object?> fields)
{
    public Dictionary<string, object?> Fields { get; } = new(fields, StringComparer.Ordinal);
}
