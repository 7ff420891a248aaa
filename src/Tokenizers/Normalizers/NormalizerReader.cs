using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Reads the field <c>normalizer</c> of tokenizer.json.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/normalizers/mod.rs</remarks>
internal static class NormalizerReader
{
    public static INormalizer Read(JsonSection section)
    {
        INormalizer[] stages = [.. section.Stages("normalizers").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequenceNormalizer(stages);
    }

    private static INormalizer ReadOne(JsonSection section)
    {
        string type = section.Type("Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend",
            "BertNormalizer", "Bert", "Precompiled", "Nmt", "ByteLevel");
        return type switch
        {
            "NFC" => UnicodeNormalizer.Nfc,
            "NFD" => UnicodeNormalizer.Nfd,
            "NFKC" => UnicodeNormalizer.Nfkc,
            "NFKD" => UnicodeNormalizer.Nfkd,
            "Lowercase" => new LowercaseNormalizer(),
            "Strip" => new StripNormalizer(section.Bool("strip_left", true), section.Bool("strip_right", true)),
            "StripAccents" => new RuneFilterNormalizer(rune => !RuneClass.IsMark(rune)),
            "Replace" => new ReplaceNormalizer(PatternReader.Read(section.Required("pattern")), section.Required("content").String()),
            "Prepend" => new PrependNormalizer(section.Required("prepend").String()),
            "Precompiled" => PrecompiledNormalizer.Read(section.Required("precompiled_charsmap")),
            "Nmt" => NmtNormalizer.Create(),
            "ByteLevel" => new ByteLevelNormalizer(),
            _ => BertNormalizer.Create(
                section.Bool("clean_text", true), section.Bool("handle_chinese_chars", true),
                section.Optional("strip_accents")?.Bool(), section.Bool("lowercase", true)),
        };
    }
}
