using System.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>
/// Removes a character from both ends of each token, at most <paramref name="start"/> times at the start and
/// <paramref name="stop"/> times at the end.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/strip.rs</remarks>
internal sealed class StripDecoder(Rune content, int start, int stop) : IDecoder
{
    private readonly string _content = content.ToString();

    public List<string> Decode(List<string> tokens) => [.. tokens.Select(StripToken)];

    private string StripToken(string token)
    {
        var text = token.AsSpan();
        for (int i = 0; i < start && text.StartsWith(_content, StringComparison.Ordinal); i++) text = text[_content.Length..];
        for (int i = 0; i < stop && text.EndsWith(_content, StringComparison.Ordinal); i++) text = text[..^_content.Length];
        return text.Length == token.Length ? token : text.ToString();
    }
}
