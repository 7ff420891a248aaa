namespace Ndif.Tokenizers.Decoders;

/// <summary>All tokens to one, for a decoder that looks at the whole text.</summary>
internal sealed class FuseDecoder : IDecoder
{
    public List<string> Decode(List<string> tokens) => [string.Concat(tokens)];
}
