namespace Ndif.Tokenizers.Decoders;

/// <summary>Connectionist temporal classification: repeated tokens count once, the pad token is silence.</summary>
internal sealed class CtcDecoder(string padToken, string wordDelimiterToken, bool cleanUp) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        string? previous = null;
        foreach (string token in tokens)
        {
            if (token == previous) continue;
            previous = token;
            string text = ReplaceAll(token, padToken, "");
            if (cleanUp) text = ReplaceAll(TokenizationSpaceCleanup.Apply(text), wordDelimiterToken, " ");
            if (text.Length > 0) result.Add(text);
        }
        return result;
    }

    static string ReplaceAll(string text, string what, string replacement) =>
        what.Length == 0 ? text : text.Replace(what, replacement, StringComparison.Ordinal);
}
