namespace Ndif.Tokenizers.Decoders;

/// <summary>A space before each token but the first, unless it continues a word.</summary>
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
