namespace Ndif.Tokenizers.Decoders;

/// <summary>Concatenates all tokens to one string, for a following decoder that works on the whole text.</summary>
internal sealed class FuseDecoder : IDecoder
{
    public List<string> Decode(List<string> tokens) => [string.Concat(tokens)];
}
