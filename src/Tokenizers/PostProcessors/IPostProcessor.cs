using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>The fourth stage: special tokens around one or two sequences, and offsets as the model's users expect them.</summary>
internal interface IPostProcessor
{
    /// <summary>Takes sequences and gives their parts in order; the caller joins them.</summary>
    List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens);
}
