using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Reads the field <c>post_processor</c> of tokenizer.json.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/processors/mod.rs</remarks>
internal static class PostProcessorReader
{
    /// <param name="section">The value of the field.</param>
    /// <param name="tokenOf">Returns the token of an id, or null.</param>
    public static IPostProcessor Read(JsonSection section, Func<int, string?> tokenOf)
    {
        IPostProcessor[] stages = [.. section.Stages("processors").Select(stage => ReadOne(stage, tokenOf))];
        return stages.Length == 1 ? stages[0] : new SequencePostProcessor(stages);
    }

    private static IPostProcessor ReadOne(JsonSection section, Func<int, string?> tokenOf)
    {
        switch (section.Type("Sequence", "TemplateProcessing", "ByteLevel", "RobertaProcessing", "BertProcessing"))
        {
            case "TemplateProcessing":
                return TemplatePostProcessorReader.Read(section);
            case "ByteLevel":
                return new TrimOffsetsPostProcessor(tokenOf, section.Bool("trim_offsets", true), section.Bool("add_prefix_space", true));
            case "BertProcessing":
                int cls = TokenId(section.Required("cls")), sep = TokenId(section.Required("sep"));
                TemplatePiece[] first = [TemplatePiece.Token(cls), TemplatePiece.SequenceA(), TemplatePiece.Token(sep)];
                return new TemplatePostProcessor(
                    first, [.. first, TemplatePiece.SequenceB(), TemplatePiece.Token(sep, typeId: 1)], section.Path);
            default: // RobertaProcessing: two separator tokens between the sequences, and one type
                int begin = TokenId(section.Required("cls")), end = TokenId(section.Required("sep"));
                return new SequencePostProcessor(
                [
                    new TrimOffsetsPostProcessor(tokenOf, section.Bool("trim_offsets", true), section.Bool("add_prefix_space", true)),
                    new TemplatePostProcessor(
                        [TemplatePiece.Token(begin), TemplatePiece.SequenceA(), TemplatePiece.Token(end)],
                        [TemplatePiece.Token(begin), TemplatePiece.SequenceA(), TemplatePiece.Token(end),
                            TemplatePiece.Token(end), TemplatePiece.SequenceB(typeId: 0), TemplatePiece.Token(end)],
                        section.Path),
                ]);
        }
    }

    /// <summary><c>["[SEP]", 102]</c></summary>
    private static int TokenId(JsonSection section)
    {
        JsonSection[] pair = [.. section.Items().Take(3)];
        return pair.Length == 2 ? pair[1].Int(0, int.MaxValue) : throw section.CreateException("a token and its id are expected");
    }
}
