using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Adds special tokens around one sequence, or around and between two sequences.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/processors/template.rs</remarks>
internal sealed class TemplatePostProcessor(TemplatePiece[] single, TemplatePiece[] pair, string jsonPath) : IPostProcessor
{
    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        if (sequences.Count > 2)
            throw new TokenizerFormatException(jsonPath, "a template that follows another template receives more than two sequences");
        var result = new List<List<Token>>();
        foreach (var piece in sequences.Count == 1 ? single : pair)
        {
            if (piece.Ids is null)
                result.Add(sequences[piece.Sequence]);
            else if (addSpecialTokens)
                result.Add([.. piece.Ids.Select(id => new Token(id, default))]);
        }
        return result;
    }
}
