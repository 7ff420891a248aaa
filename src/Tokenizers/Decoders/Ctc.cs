namespace Ndif.Tokenizers.Decoders;

/// <summary>Connectionist temporal classification: repeated tokens count once, the pad token is silence.</summary>
internal sealed class Ctc(string pad, string delimiter, bool cleanUp) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        string? previous = null;
        foreach (string token in tokens)
        {
            if (token == previous) continue;
            previous = token;
            string text = Without(token, pad, "");
            if (cleanUp) text = Without(CleanUp.Apply(text), delimiter, " ");
            if (text.Length > 0) result.Add(text);
        }
        return result;
    }

    static string Without(string text, string what, string replacement) =>
        what.Length == 0 ? text : text.Replace(what, replacement, StringComparison.Ordinal);
}
