namespace Ndif.Tokenizers.Decoders;

/// <summary>Removes the prefix of a token that continues a word, and adds a space before any other token except the first.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/wordpiece.rs</remarks>
internal sealed class WordPieceDecoder(string prefix, bool cleanUp) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        foreach (string token in tokens)
        {
            string text = result.Count == 0 ? token
                : token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..]
                : " " + token;
            result.Add(cleanUp ? TokenizationSpaceCleanup.Apply(text) : text);
        }
        return result;
    }
}
