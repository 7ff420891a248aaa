using System.Buffers.Binary;
using System.Text;

namespace Ndif.Tokenizers.Conversion;

/// <summary>A SentencePiece model (<c>tokenizer.model</c>): the protobuf message <c>ModelProto</c>.</summary>
/// <remarks>google/sentencepiece, src/sentencepiece_model.proto</remarks>
internal sealed class SentencePieceModelFile
{
    private const int Bpe = 2;

    private readonly string _fileName;
    private int _modelType = 1;

    private SentencePieceModelFile(string fileName) => _fileName = fileName;

    public List<SentencePiece> Pieces { get; } = [];

    /// <summary>True for byte-pair encoding, false for a unigram model.</summary>
    public bool IsBpe => _modelType == Bpe;

    public bool ByteFallback { get; private set; }

    public int UnknownId { get; private set; }

    /// <summary>The id of the beginning-of-sequence token, or a negative number if there is none.</summary>
    public int BosId { get; private set; } = 1;

    /// <summary>The id of the end-of-sequence token, or a negative number if there is none.</summary>
    public int EosId { get; private set; } = 2;

    public string UnknownPiece { get; private set; } = "<unk>";

    public string BosPiece { get; private set; } = "<s>";

    public string EosPiece { get; private set; } = "</s>";

    /// <summary>The map of <see cref="Normalizers.PrecompiledNormalizer"/>; empty if the text is not normalized.</summary>
    public byte[] CharacterMap { get; private set; } = [];

    /// <exception cref="TokenizerFormatException">The file is not a SentencePiece model of a known type.</exception>
    public static SentencePieceModelFile Read(string fileName, ReadOnlySpan<byte> bytes)
    {
        var file = new SentencePieceModelFile(fileName);
        file.ReadMessage(bytes, file.ReadModelField);
        if (file.Pieces.Count == 0) throw file.CreateException("it has no tokens: it is not a SentencePiece model");
        if (file._modelType is not (1 or Bpe))
            throw file.CreateException("its model type is neither unigram nor BPE; transformers cannot convert it either");
        if (file.UnknownId < 0 || file.UnknownId >= file.Pieces.Count)
            throw file.CreateException($"the id of the unknown token is {file.UnknownId}, but there are {file.Pieces.Count} tokens");
        return file;
    }

    private delegate void FieldReader(int field, ulong number, ReadOnlySpan<byte> bytes);

    private TokenizerFormatException CreateException(string reason) => new(_fileName, reason);

    private void ReadModelField(int field, ulong number, ReadOnlySpan<byte> bytes)
    {
        switch (field)
        {
            case 1:
                string text = "";
                float score = 0;
                var type = SentencePieceType.Normal;
                ReadMessage(bytes, (pieceField, value, content) =>
                {
                    if (pieceField == 1) text = Utf8(content);
                    else if (pieceField == 2) score = BitConverter.Int32BitsToSingle((int)value);
                    else if (pieceField == 3) type = (SentencePieceType)value;
                });
                if (text.Length > Models.Vocabulary.MaxTokenLength)
                    throw CreateException($"the token {Pieces.Count} is longer than {Models.Vocabulary.MaxTokenLength} characters");
                if (!float.IsFinite(score)) throw CreateException($"the score of the token {Pieces.Count} is not a number");
                Pieces.Add(new SentencePiece(text, score, type));
                break;
            case 2:
                ReadMessage(bytes, ReadTrainerField);
                break;
            case 3:
                ReadMessage(bytes, (normalizerField, _, content) =>
                {
                    if (normalizerField == 2) CharacterMap = content.ToArray();
                });
                break;
        }
    }

    private void ReadTrainerField(int field, ulong number, ReadOnlySpan<byte> bytes)
    {
        switch (field)
        {
            case 3: _modelType = (int)number; break;
            case 35: ByteFallback = number != 0; break;
            case 40: UnknownId = (int)number; break;
            case 41: BosId = (int)number; break;
            case 42: EosId = (int)number; break;
            case 45: UnknownPiece = Utf8(bytes); break;
            case 46: BosPiece = Utf8(bytes); break;
            case 47: EosPiece = Utf8(bytes); break;
        }
    }

    private static string Utf8(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);

    /// <summary>Reads the fields of a message. A field has a number, or bytes (protobuf's wire types 0, 1 and 5, and 2).</summary>
    private void ReadMessage(ReadOnlySpan<byte> message, FieldReader read)
    {
        while (message.Length > 0)
        {
            ulong tag = ReadVarint(ref message);
            int field = (int)(tag >> 3);
            switch (tag & 7)
            {
                case 0:
                    read(field, ReadVarint(ref message), default);
                    break;
                case 1:
                    read(field, BinaryPrimitives.ReadUInt64LittleEndian(Take(ref message, 8)), default);
                    break;
                case 2:
                    ulong length = ReadVarint(ref message);
                    read(field, 0, Take(ref message, length > int.MaxValue ? int.MaxValue : (int)length));
                    break;
                case 5:
                    read(field, BinaryPrimitives.ReadUInt32LittleEndian(Take(ref message, 4)), default);
                    break;
                default:
                    throw CreateException("it is damaged, or not a SentencePiece model");
            }
        }
    }

    private ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> message, int length)
    {
        if (length > message.Length) throw CreateException("it is cut off, or not a SentencePiece model");
        var taken = message[..length];
        message = message[length..];
        return taken;
    }

    private ulong ReadVarint(ref ReadOnlySpan<byte> message)
    {
        ulong number = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte b = Take(ref message, 1)[0];
            number |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80) return number;
        }
        throw CreateException("it is damaged, or not a SentencePiece model");
    }
}
