using System.Text;
using Ndif.Tokenizers.PreTokenizers;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Marks back to spaces; those of the first token are what the pre-tokenizer put in front.</summary>
internal sealed class Metaspace(Rune replacement, PrependScheme scheme) : IDecoder
{
    readonly string _mark = replacement.ToString();

    public List<string> Decode(List<string> tokens) => [.. tokens.Select((token, i) =>
        token.Replace(_mark, i == 0 && scheme != PrependScheme.Never ? "" : " ", StringComparison.Ordinal))];
}
