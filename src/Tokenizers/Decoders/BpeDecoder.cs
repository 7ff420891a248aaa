namespace Ndif.Tokenizers.Decoders;

/// <summary>Replaces the end-of-word suffix of each token by a space, and that of the last token by nothing.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/bpe.rs</remarks>
internal sealed class BpeDecoder(string suffix) : IDecoder
{
    public List<string> Decode(List<string> tokens) => suffix.Length == 0 ? tokens
        : [.. tokens.Select((token, i) => token.Replace(suffix, i == tokens.Count - 1 ? "" : " ", StringComparison.Ordinal))];
}
