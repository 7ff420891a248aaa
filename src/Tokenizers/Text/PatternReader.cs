using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Text;

/// <summary>Makes the pattern that <c>{"String": ...}</c> or <c>{"Regex": ...}</c> describes.</summary>
internal static class PatternReader
{
    public static IPattern Read(JsonPart part)
    {
        if (part.Optional("Regex") is { } regex) return new RegexPattern(regex.String(), regex.Path);
        var literal = part.Required("String");
        string text = literal.String();
        return text.Length > 0 ? new LiteralPattern(text) : throw literal.CreateException("an empty pattern matches everywhere");
    }
}
