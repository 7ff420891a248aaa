using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Text;

/// <summary>Reads a pattern: <c>{"String": ...}</c> or <c>{"Regex": ...}</c>.</summary>
internal static class PatternReader
{
    public static IPattern Read(JsonSection section)
    {
        if (section.Optional("Regex") is { } regex) return new RegexPattern(regex.String(), regex.Path);
        var literal = section.Required("String");
        string text = literal.String();
        return text.Length > 0 ? new LiteralPattern(text) : throw literal.CreateException("an empty pattern matches everywhere");
    }
}
