using System.Text;
using Ndif.Tokenizers.PreTokenizers;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Marks back to spaces; those of the first token are what the pre-tokenizer put in front.</summary>
internal sealed class MetaspaceDecoder(Rune replacement, PrependScheme prependScheme) : IDecoder
{
    readonly string _replacementText = replacement.ToString();

    public List<string> Decode(List<string> tokens) => [.. tokens.Select((token, i) =>
        token.Replace(_replacementText, i == 0 && prependScheme != PrependScheme.Never ? "" : " ", StringComparison.Ordinal))];
}
