namespace Ndif.Tokenizers.Decoders;

/// <summary>
/// Converts tokens to text. The result of a decoder is the input of the next one; the result of the last one is concatenated.
/// </summary>
internal interface IDecoder
{
    /// <summary>Returns the decoded strings.</summary>
    List<string> Decode(List<string> tokens);
}
