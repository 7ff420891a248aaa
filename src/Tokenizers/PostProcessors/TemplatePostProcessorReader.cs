using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Reads a post-processor of type <c>TemplateProcessing</c>.</summary>
internal static class TemplatePostProcessorReader
{
    public static TemplatePostProcessor Read(JsonSection section)
    {
        var special = section.Optional("special_tokens");
        var single = ReadPieces(section.Required("single"), special);
        if (Array.Exists(single, piece => piece.IsSequence(1)))
            throw section.Required("single").CreateException("a template for one sequence cannot hold the second, B");
        var pair = section.Optional("pair") is { } pairSection
            ? ReadPieces(pairSection, special) : [TemplatePiece.SequenceA(), TemplatePiece.SequenceB()];
        return new TemplatePostProcessor(single, pair, section.Path);
    }

    private static TemplatePiece[] ReadPieces(JsonSection section, JsonSection? special)
    {
        TemplatePiece[] pieces = [.. section.Items().Select(piece => ReadPiece(piece, special))];
        bool isRepeated = pieces.Count(piece => piece.IsSequence(0)) > 1
            || pieces.Count(piece => piece.IsSequence(1)) > 1;
        return isRepeated ? throw section.CreateException("the template contains a sequence more than once") : pieces;
    }

    private static TemplatePiece ReadPiece(JsonSection section, JsonSection? special)
    {
        if (section.Optional("Sequence") is { } sequence)
        {
            var id = sequence.Required("id");
            return id.String() switch
            {
                "A" => TemplatePiece.SequenceA(TypeId(sequence)),
                "B" => TemplatePiece.SequenceB(TypeId(sequence)),
                var name => throw id.CreateException($"the sequence '{name}' is unknown; there are A and B"),
            };
        }
        var piece = section.Required("SpecialToken");
        var token = piece.Required("id");
        string text = token.String();
        var entry = special?.Optional(text)
            ?? throw token.CreateException($"the special token '{text}' is not among the template's special_tokens");
        return new TemplatePiece([.. entry.Required("ids").Items().Select(id => id.Int(0, int.MaxValue))], 0, TypeId(piece));
    }

    private static int TypeId(JsonSection piece) => piece.Optional("type_id")?.Int(0, int.MaxValue) ?? 0;
}
