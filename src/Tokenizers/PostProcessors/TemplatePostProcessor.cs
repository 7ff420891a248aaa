using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>A place in a template: special tokens, or one of the two sequences.</summary>
/// <param name="Ids">The special tokens; null for a sequence.</param>
/// <param name="Sequence">Which sequence, 0 or 1.</param>
internal sealed record TemplatePiece(int[]? Ids, int Sequence)
{
    public static TemplatePiece SequenceA { get; } = new(null, 0);

    public static TemplatePiece SequenceB { get; } = new(null, 1);

    public static TemplatePiece Token(params int[] ids) => new(ids, 0);
}

/// <summary>Puts special tokens around one sequence, or around and between two.</summary>
internal sealed class TemplatePostProcessor(TemplatePiece[] single, TemplatePiece[] pair, string jsonPath) : IPostProcessor
{
    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        if (sequences.Count > 2)
            throw new TokenizerFormatException(jsonPath, "a template after another template has more than two parts to arrange");
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
