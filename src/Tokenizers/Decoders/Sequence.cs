namespace Ndif.Tokenizers.Decoders;

/// <summary>One decoder after the other.</summary>
internal sealed class Sequence(IDecoder[] decoders) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        foreach (var decoder in decoders) tokens = decoder.Decode(tokens);
        return tokens;
    }
}
