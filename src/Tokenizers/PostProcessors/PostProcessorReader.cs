using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Makes the post-processor that the file's <c>post_processor</c> describes.</summary>
internal static class PostProcessorReader
{
    /// <param name="part">Its description.</param>
    /// <param name="tokenOf">The vocabulary's text of an id.</param>
    public static IPostProcessor Read(JsonPart part, Func<int, string?> tokenOf)
    {
        IPostProcessor[] stages = [.. part.Stages("processors").Select(stage => ReadOne(stage, tokenOf))];
        return stages.Length == 1 ? stages[0] : new SequencePostProcessor(stages);
    }

    static IPostProcessor ReadOne(JsonPart part, Func<int, string?> tokenOf)
    {
        switch (part.Type("Sequence", "TemplateProcessing", "ByteLevel", "RobertaProcessing", "BertProcessing"))
        {
            case "TemplateProcessing":
                return TemplatePostProcessorReader.Read(part);
            case "ByteLevel":
                return new TrimOffsetsPostProcessor(tokenOf, part.Bool("trim_offsets", true), part.Bool("add_prefix_space", true));
            case "BertProcessing":
                int cls = TokenId(part.Required("cls")), sep = TokenId(part.Required("sep"));
                return new TemplatePostProcessor(
                    [TemplatePiece.Token(cls), TemplatePiece.SequenceA, TemplatePiece.Token(sep)],
                    [TemplatePiece.Token(cls), TemplatePiece.SequenceA, TemplatePiece.Token(sep),
                        TemplatePiece.SequenceB, TemplatePiece.Token(sep)],
                    part.Path);
            default: // RoBERTa separates two sequences twice
                int begin = TokenId(part.Required("cls")), end = TokenId(part.Required("sep"));
                return new SequencePostProcessor(
                [
                    new TrimOffsetsPostProcessor(tokenOf, part.Bool("trim_offsets", true), part.Bool("add_prefix_space", true)),
                    new TemplatePostProcessor(
                        [TemplatePiece.Token(begin), TemplatePiece.SequenceA, TemplatePiece.Token(end)],
                        [TemplatePiece.Token(begin), TemplatePiece.SequenceA, TemplatePiece.Token(end),
                            TemplatePiece.Token(end), TemplatePiece.SequenceB, TemplatePiece.Token(end)],
                        part.Path),
                ]);
        }
    }

    /// <summary><c>["[SEP]", 102]</c></summary>
    static int TokenId(JsonPart part)
    {
        JsonPart[] pair = [.. part.Items().Take(3)];
        return pair.Length == 2 ? pair[1].Int(0, int.MaxValue) : throw part.CreateException("a token and its id are expected");
    }
}
