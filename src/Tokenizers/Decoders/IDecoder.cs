namespace Ndif.Tokenizers.Decoders;

/// <summary>The way back: tokens to text. Each decoder gives the next one its list; what comes out last is joined.</summary>
internal interface IDecoder
{
    List<string> Decode(List<string> tokens);
}
