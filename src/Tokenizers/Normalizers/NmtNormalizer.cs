namespace Ndif.Tokenizers.Normalizers;

/// <summary>SentencePiece's nmt rules: they remove some control characters and replace other white space by a space.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/normalizers/unicode.rs, do_nmt</remarks>
internal static class NmtNormalizer
{
    public static INormalizer Create() => new SequenceNormalizer(
    [
        new RuneFilterNormalizer(rune => rune.Value
            is not (>= 0x01 and <= 0x08 or 0x0B or >= 0x0E and <= 0x1F or 0x7F or 0x8F or 0x9F)),
        new RuneMapNormalizer(rune => rune.Value
            is 0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or >= 0x200B and <= 0x200F or 0x2028 or 0x2029 or 0x2581 or 0xFEFF or 0xFFFD
            ? " " : null),
    ]);
}
