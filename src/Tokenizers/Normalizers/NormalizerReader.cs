using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Makes the normalizer that the file's <c>normalizer</c> describes.</summary>
internal static class NormalizerReader
{
    public static INormalizer Read(JsonPart part)
    {
        INormalizer[] stages = [.. part.Stages("normalizers").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequenceNormalizer(stages);
    }

    static INormalizer ReadOne(JsonPart part)
    {
        string type = part.Type("Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend",
            "BertNormalizer", "Bert", "Precompiled", "Nmt", "ByteLevel");
        return type switch
        {
            "NFC" => UnicodeNormalizer.Nfc,
            "NFD" => UnicodeNormalizer.Nfd,
            "NFKC" => UnicodeNormalizer.Nfkc,
            "NFKD" => UnicodeNormalizer.Nfkd,
            "Lowercase" => new LowercaseNormalizer(),
            "Strip" => new StripNormalizer(part.Bool("strip_left", true), part.Bool("strip_right", true)),
            "StripAccents" => new RuneFilterNormalizer(rune => !RuneClass.IsMark(rune)),
            "Replace" => new ReplaceNormalizer(PatternReader.Read(part.Required("pattern")), part.Required("content").String()),
            "Prepend" => new PrependNormalizer(part.Required("prepend").String()),
            "Precompiled" => PrecompiledNormalizer.Read(part.Required("precompiled_charsmap")),
            "Nmt" => NmtNormalizer.Create(),
            "ByteLevel" => new ByteLevelNormalizer(),
            _ => BertNormalizer.Create(
                part.Bool("clean_text", true), part.Bool("handle_chinese_chars", true),
                part.Optional("strip_accents")?.Bool(), part.Bool("lowercase", true)),
        };
    }
}
