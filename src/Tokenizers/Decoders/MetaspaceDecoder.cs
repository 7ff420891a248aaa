using System.Text;
using Ndif.Tokenizers.PreTokenizers;

namespace Ndif.Tokenizers.Decoders;

/// <summary>
/// Replaces the metaspace character by a space. In the first token it is removed if the pre-tokenizer prepended it.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/metaspace.rs, decode_chain</remarks>
internal sealed class MetaspaceDecoder(Rune replacement, PrependScheme prependScheme) : IDecoder
{
    private readonly string _replacementText = replacement.ToString();

    public List<string> Decode(List<string> tokens) => [.. tokens.Select((token, i) =>
        token.Replace(_replacementText, i == 0 && prependScheme != PrependScheme.Never ? "" : " ", StringComparison.Ordinal))];
}
