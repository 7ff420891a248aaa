using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Applies several pre-tokenizers in order. Each splits the words of the one before.</summary>
internal sealed class SequencePreTokenizer(IPreTokenizer[] preTokenizers) : IPreTokenizer
{
    public PreTokenizedText Split(PreTokenizedText input)
    {
        foreach (var preTokenizer in preTokenizers) input = preTokenizer.Split(input);
        return input;
    }
}
