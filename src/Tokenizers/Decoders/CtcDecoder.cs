namespace Ndif.Tokenizers.Decoders;

/// <summary>Connectionist temporal classification: it merges repeated tokens and removes the pad token.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/ctc.rs</remarks>
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

    private static string ReplaceAll(string text, string oldValue, string newValue) =>
        oldValue.Length == 0 ? text : text.Replace(oldValue, newValue, StringComparison.Ordinal);
}
