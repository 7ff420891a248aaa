using System.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Takes up to so many of a character off each end of each token.</summary>
internal sealed class StripDecoder(Rune content, int start, int stop) : IDecoder
{
    readonly string _content = content.ToString();

    public List<string> Decode(List<string> tokens) => [.. tokens.Select(StripToken)];

    string StripToken(string token)
    {
        var text = token.AsSpan();
        for (int i = 0; i < start && text.StartsWith(_content, StringComparison.Ordinal); i++) text = text[_content.Length..];
        for (int i = 0; i < stop && text.EndsWith(_content, StringComparison.Ordinal); i++) text = text[..^_content.Length];
        return text.Length == token.Length ? token : text.ToString();
    }
}
