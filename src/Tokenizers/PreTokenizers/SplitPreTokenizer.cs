using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Splits by a pattern.</summary>
/// <param name="Pattern">The pattern that matches the delimiters, or, if <paramref name="Invert"/> is true, the words.</param>
/// <param name="Behavior">What happens to the delimiters.</param>
/// <param name="Invert">True if the pattern matches the words.</param>
internal sealed record SplitPreTokenizer(IPattern Pattern, SplitBehavior Behavior, bool Invert = false) : IPreTokenizer
{
    PreTokenizedText IPreTokenizer.Split(PreTokenizedText input) => input.Split(Pattern, Behavior, Invert);
}
