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
        return stages.Length == 1 ? stages[0] : new Sequence(stages);
    }

    static INormalizer ReadOne(JsonPart part)
    {
        string type = part.Type("Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend",
            "BertNormalizer", "Bert", "Precompiled", "Nmt", "ByteLevel");
        return type switch
        {
            "NFC" => UnicodeForm.C,
            "NFD" => UnicodeForm.D,
            "NFKC" => UnicodeForm.KC,
            "NFKD" => UnicodeForm.KD,
            "Lowercase" => new Lowercase(),
            "Strip" => new Strip(part.Bool("strip_left", true), part.Bool("strip_right", true)),
            "StripAccents" => new RuneFilter(rune => !RuneClass.IsMark(rune)),
            "Replace" => new Replace(PatternReader.Read(part.Required("pattern")), part.Required("content").String()),
            "Prepend" => new Prepend(part.Required("prepend").String()),
            "Precompiled" => Precompiled.Read(part.Required("precompiled_charsmap")),
            "Nmt" => Nmt.Create(),
            "ByteLevel" => new ByteLevel(),
            _ => BertNormalizer.Create(
                part.Bool("clean_text", true), part.Bool("handle_chinese_chars", true),
                part.Optional("strip_accents")?.Bool(), part.Bool("lowercase", true)),
        };
    }
}
