using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Makes the decoder that the file's <c>decoder</c> describes.</summary>
internal static class DecoderReader
{
    public static IDecoder Read(JsonPart part)
    {
        IDecoder[] stages = [.. part.Stages("decoders").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequenceDecoder(stages);
    }

    static IDecoder ReadOne(JsonPart part)
    {
        string type = part.Type("Sequence", "ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip",
            "WordPiece", "BPEDecoder", "CTC");
        return type switch
        {
            "ByteLevel" => new ByteLevelDecoder(),
            "ByteFallback" => new ByteFallbackDecoder(),
            "Fuse" => new FuseDecoder(),
            "Metaspace" => new MetaspaceDecoder(part.Required("replacement").Rune(), PreTokenizers.MetaspacePreTokenizer.ReadScheme(part)),
            "Replace" => new ReplaceDecoder(PatternReader.Read(part.Required("pattern")), part.Required("content").String()),
            "Strip" => new StripDecoder(part.Required("content").Rune(),
                part.Required("start").Int(0, int.MaxValue), part.Required("stop").Int(0, int.MaxValue)),
            "WordPiece" => new WordPieceDecoder(part.Optional("prefix")?.String() ?? "##", part.Bool("cleanup", true)),
            "BPEDecoder" => new BpeDecoder(part.Optional("suffix")?.String() ?? "</w>"),
            _ => new CtcDecoder(part.Optional("pad_token")?.String() ?? "<pad>",
                part.Optional("word_delimiter_token")?.String() ?? "|", part.Bool("cleanup", true)),
        };
    }
}
