using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Reads the field <c>decoder</c> of tokenizer.json.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/mod.rs</remarks>
internal static class DecoderReader
{
    public static IDecoder Read(JsonSection section)
    {
        IDecoder[] stages = [.. section.Stages("decoders").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequenceDecoder(stages);
    }

    private static IDecoder ReadOne(JsonSection section)
    {
        string type = section.Type("Sequence", "ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip",
            "WordPiece", "BPEDecoder", "CTC");
        return type switch
        {
            "ByteLevel" => new ByteLevelDecoder(),
            "ByteFallback" => new ByteFallbackDecoder(),
            "Fuse" => new FuseDecoder(),
            "Metaspace" => new MetaspaceDecoder(
                section.Required("replacement").Rune(), PreTokenizers.MetaspacePreTokenizer.ReadScheme(section)),
            "Replace" => new ReplaceDecoder(PatternReader.Read(section.Required("pattern")), section.Required("content").String()),
            "Strip" => new StripDecoder(section.Required("content").Rune(),
                section.Required("start").Int(0, int.MaxValue), section.Required("stop").Int(0, int.MaxValue)),
            "WordPiece" => new WordPieceDecoder(section.Optional("prefix")?.String() ?? "##", section.Bool("cleanup", true)),
            "BPEDecoder" => new BpeDecoder(section.Optional("suffix")?.String() ?? "</w>"),
            _ => new CtcDecoder(section.Optional("pad_token")?.String() ?? "<pad>",
                section.Optional("word_delimiter_token")?.String() ?? "|", section.Bool("cleanup", true)),
        };
    }
}
