using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Reads <c>TemplateProcessing</c>.</summary>
internal static class TemplatePostProcessorReader
{
    public static TemplatePostProcessor Read(JsonPart part)
    {
        var special = part.Optional("special_tokens");
        var single = Pieces(part.Required("single"), special);
        if (Array.Exists(single, piece => piece.Sequence == 1))
            throw part.Required("single").CreateException("a template for one sequence cannot hold the second, B");
        var pair = part.Optional("pair") is { } two ? Pieces(two, special) : [TemplatePiece.SequenceA, TemplatePiece.SequenceB];
        return new TemplatePostProcessor(single, pair, part.Path);
    }

    static TemplatePiece[] Pieces(JsonPart part, JsonPart? special)
    {
        TemplatePiece[] pieces = [.. part.Items().Select(piece => Piece(piece, special))];
        return pieces.Count(piece => piece == TemplatePiece.SequenceA) <= 1 && pieces.Count(piece => piece == TemplatePiece.SequenceB) <= 1
            ? pieces
            : throw part.CreateException("a sequence is there more than once");
    }

    static TemplatePiece Piece(JsonPart part, JsonPart? special)
    {
        if (part.Optional("Sequence") is { } sequence)
        {
            var id = sequence.Required("id");
            return id.String() switch
            {
                "A" => TemplatePiece.SequenceA,
                "B" => TemplatePiece.SequenceB,
                var name => throw id.CreateException($"the sequence '{name}' is unknown; there are A and B"),
            };
        }
        var token = part.Required("SpecialToken").Required("id");
        string text = token.String();
        var entry = special?.Optional(text)
            ?? throw token.CreateException($"the special token '{text}' is not among the template's special_tokens");
        return TemplatePiece.Token([.. entry.Required("ids").Items().Select(id => id.Int(0, int.MaxValue))]);
    }
}
