using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>The first stage of encoding: a normalizer rewrites a text before it is split into words.</summary>
internal interface INormalizer
{
    /// <summary>Returns the rewritten text, or <paramref name="text"/> itself if nothing changes.</summary>
    AlignedText Normalize(AlignedText text);
}
