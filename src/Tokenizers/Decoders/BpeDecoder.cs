namespace Ndif.Tokenizers.Decoders;

/// <summary>The mark at the end of a word becomes a space, but for the last one (Hugging Face's BPEDecoder).</summary>
internal sealed class BpeDecoder(string suffix) : IDecoder
{
    public List<string> Decode(List<string> tokens) => suffix.Length == 0 ? tokens
        : [.. tokens.Select((token, i) => token.Replace(suffix, i == tokens.Count - 1 ? "" : " ", StringComparison.Ordinal))];
}
