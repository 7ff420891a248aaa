using System.Globalization;
using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>
/// The normalizer of BERT: it removes control characters, puts spaces around ideographs, removes accents and converts to lower case.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/normalizers/bert.rs</remarks>
internal static class BertNormalizer
{
    public static INormalizer Create(bool cleanText, bool handleChineseChars, bool? stripAccents, bool lowercase)
    {
        var normalizers = new List<INormalizer>();
        if (cleanText)
        {
            normalizers.Add(new RuneFilterNormalizer(rune => rune.Value is not (0 or 0xFFFD) && !IsControl(rune)));
            normalizers.Add(new RuneMapNormalizer(rune => Rune.IsWhiteSpace(rune) ? " " : null));
        }
        if (handleChineseChars) normalizers.Add(new RuneMapNormalizer(rune => IsIdeograph(rune.Value) ? $" {rune} " : null));
        if (stripAccents ?? lowercase)
        {
            normalizers.Add(UnicodeNormalizer.Nfd);
            normalizers.Add(new RuneFilterNormalizer(rune => Rune.GetUnicodeCategory(rune) != UnicodeCategory.NonSpacingMark));
        }
        if (lowercase) normalizers.Add(new LowercaseNormalizer());
        return new SequenceNormalizer([.. normalizers]);
    }

    private static bool IsControl(Rune rune) => rune.Value is not ('\t' or '\n' or '\r')
        && Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse;

    private static bool IsIdeograph(int rune) => rune
        is >= 0x4E00 and <= 0x9FFF or >= 0x3400 and <= 0x4DBF or >= 0x20000 and <= 0x2A6DF or >= 0x2A700 and <= 0x2B73F
        or >= 0x2B740 and <= 0x2B81F or >= 0x2B920 and <= 0x2CEAF or >= 0xF900 and <= 0xFAFF or >= 0x2F800 and <= 0x2FA1F;
}
