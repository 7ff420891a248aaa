namespace Ndif.Tokenizers.Conversion;

/// <summary>The types of a SentencePiece token; the numbers are those of sentencepiece_model.proto.</summary>
internal enum SentencePieceType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}
