using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Applies several post-processors in order.</summary>
internal sealed class SequencePostProcessor(IPostProcessor[] processors) : IPostProcessor
{
    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        foreach (var processor in processors) sequences = processor.Process(sequences, addSpecialTokens);
        return sequences;
    }
}
