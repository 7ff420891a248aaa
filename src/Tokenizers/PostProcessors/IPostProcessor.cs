using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>The fourth stage of encoding: a post-processor adds special tokens to one or two sequences and adjusts the offsets.</summary>
internal interface IPostProcessor
{
    /// <summary>Processes one or two sequences. The caller concatenates the returned sequences.</summary>
    List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens);
}
