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
                result.Add(WithType(sequences[piece.Sequence], piece.TypeId));
            else if (addSpecialTokens)
                result.Add([.. piece.Ids.Select(id => new Token(id, default) { TypeId = piece.TypeId })]);
        }
        return result;
    }

    private static List<Token> WithType(List<Token> tokens, int typeId) =>
        tokens.TrueForAll(token => token.TypeId == typeId) ? tokens : [.. tokens.Select(token => token with { TypeId = typeId })];
}
