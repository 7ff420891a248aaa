using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>One pre-tokenizer after the other, each on the words of the one before.</summary>
internal sealed class SequencePreTokenizer(IPreTokenizer[] preTokenizers) : IPreTokenizer
{
    public PreTokenizedText Split(PreTokenizedText words)
    {
        foreach (var preTokenizer in preTokenizers) words = preTokenizer.Split(words);
        return words;
    }
}
