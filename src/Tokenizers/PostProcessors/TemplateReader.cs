using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Reads <c>TemplateProcessing</c>.</summary>
internal static class TemplateReader
{
    public static Template Read(JsonPart part)
    {
        var special = part.Optional("special_tokens");
        var single = Pieces(part.Required("single"), special);
        if (Array.Exists(single, piece => piece.Sequence == 1))
            throw part.Required("single").Wrong("a template for one sequence cannot hold the second, B");
        var pair = part.Optional("pair") is { } two ? Pieces(two, special) : [TemplatePiece.First, TemplatePiece.Second];
        return new Template(single, pair, part.Path);
    }

    static TemplatePiece[] Pieces(JsonPart part, JsonPart? special)
    {
        TemplatePiece[] pieces = [.. part.Items().Select(piece => Piece(piece, special))];
        return pieces.Count(piece => piece == TemplatePiece.First) <= 1 && pieces.Count(piece => piece == TemplatePiece.Second) <= 1
            ? pieces
            : throw part.Wrong("a sequence is there more than once");
    }

    static TemplatePiece Piece(JsonPart part, JsonPart? special)
    {
        if (part.Optional("Sequence") is { } sequence)
        {
            var id = sequence.Required("id");
            return id.String() switch
            {
                "A" => TemplatePiece.First,
                "B" => TemplatePiece.Second,
                var name => throw id.Wrong($"the sequence '{name}' is unknown; there are A and B"),
            };
        }
        var token = part.Required("SpecialToken").Required("id");
        string text = token.String();
        var entry = special?.Optional(text)
            ?? throw token.Wrong($"the special token '{text}' is not among the template's special_tokens");
        return TemplatePiece.Token([.. entry.Required("ids").Items().Select(id => id.Int(0, int.MaxValue))]);
    }
}
