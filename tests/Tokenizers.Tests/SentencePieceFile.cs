using System.Text;

namespace Ndif.Tokenizers.Tests;

/// <summary>Writes SentencePiece models (sentencepiece_model.proto).</summary>
internal static class SentencePieceFile
{
    /// <summary>Writes a model of tokens with their scores and types (1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte).</summary>
    public static byte[] Write(IEnumerable<(string Text, float Score, int Type)> pieces, bool isBpe, int unknownId, bool byteFallback,
        int bosId = 1, int eosId = 2)
    {
        using var file = new MemoryStream();
        foreach (var (text, score, type) in pieces)
            WriteMessage(file, 1, piece =>
            {
                WriteBytes(piece, 1, Encoding.UTF8.GetBytes(text));
                WriteVarint(piece, 2 << 3 | 5);
                piece.Write(BitConverter.GetBytes(score));
                WriteNumber(piece, 3, type);
            });
        WriteMessage(file, 2, trainer =>
        {
            WriteNumber(trainer, 3, isBpe ? 2 : 1);
            WriteNumber(trainer, 35, byteFallback ? 1 : 0);
            WriteNumber(trainer, 40, unknownId);
            WriteNumber(trainer, 41, bosId);
            WriteNumber(trainer, 42, eosId);
        });
        return file.ToArray();
    }

    private static void WriteMessage(Stream stream, int field, Action<MemoryStream> write)
    {
        using var message = new MemoryStream();
        write(message);
        WriteBytes(stream, field, message.ToArray());
    }

    private static void WriteBytes(Stream stream, int field, byte[] bytes)
    {
        WriteVarint(stream, field << 3 | 2);
        WriteVarint(stream, bytes.Length);
        stream.Write(bytes);
    }

    private static void WriteNumber(Stream stream, int field, long number)
    {
        WriteVarint(stream, field << 3);
        WriteVarint(stream, number);
    }

    private static void WriteVarint(Stream stream, long number)
    {
        ulong rest = (ulong)number;
        for (; rest >= 0x80; rest >>= 7) stream.WriteByte((byte)(rest | 0x80));
        stream.WriteByte((byte)rest);
    }
}
