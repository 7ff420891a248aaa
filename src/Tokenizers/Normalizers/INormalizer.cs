using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>The first stage: rewrites a text before it is split.</summary>
internal interface INormalizer
{
    /// <summary>The rewritten text, or the same one where nothing changes.</summary>
    AlignedText Normalize(AlignedText text);
}
