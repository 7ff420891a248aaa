using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Splits by a pattern. With <paramref name="Invert"/> the pattern says what to keep, not what to split at.</summary>
internal sealed record SplitPreTokenizer(IPattern Pattern, SplitBehavior Behavior, bool Invert = false) : IPreTokenizer
{
    PreTokenizedText IPreTokenizer.Split(PreTokenizedText words) => words.Split(Pattern, Behavior, Invert);
}
