using System.Buffers.Binary;
using System.Text;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Pickle;

/// <summary>
/// The entries of a zip file that PyTorch wrote, by name without the leading folder: their bytes are stored uncompressed, so that they can
/// be used where they are mapped.
/// </summary>
/// <remarks>PKWARE, .ZIP File Format Specification (APPNOTE.TXT) 6.3.10, sections 4.3 and 4.5.3 (zip64)</remarks>
internal static class ZipDirectory
{
    private const uint EndSignature = 0x06054b50, Zip64EndSignature = 0x06064b50, Zip64LocatorSignature = 0x07064b50;
    private const uint EntrySignature = 0x02014b50, LocalSignature = 0x04034b50;
    private const int EndBytes = 22, EntryBytes = 46, LocalBytes = 30, LocatorBytes = 20, MaxComment = 0xFFFF;

    public static bool IsZip(FileMapping file) => file.Length > 4 && UInt32(file, 0) == LocalSignature;

    /// <exception cref="CheckpointException">The file is damaged, or an entry is compressed.</exception>
    public static Dictionary<string, (long Offset, long Length)> Read(FileMapping file, string path)
    {
        long end = FindEnd(file, path);
        ReadOnlySpan<byte> record = file.Bytes(end, EndBytes);
        long count = BinaryPrimitives.ReadUInt16LittleEndian(record[10..]), at = BinaryPrimitives.ReadUInt32LittleEndian(record[16..]);
        if (end >= LocatorBytes && UInt32(file, end - LocatorBytes) == Zip64LocatorSignature)
        {
            long zip64 = Int64(file, end - LocatorBytes + 8, path);
            if (!Has(file, zip64, 56) || UInt32(file, zip64) != Zip64EndSignature) throw Damaged(path, "its zip64 directory is missing");
            (count, at) = (Int64(file, zip64 + 32, path), Int64(file, zip64 + 48, path));
        }
        Dictionary<string, (long, long)> entries = new(StringComparer.Ordinal);
        for (long i = 0; i < count; i++)
        {
            if (!Has(file, at, EntryBytes) || UInt32(file, at) != EntrySignature) throw Damaged(path, "its directory is truncated");
            ReadOnlySpan<byte> entry = file.Bytes(at, EntryBytes);
            int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(entry[28..]);
            int extraLength = BinaryPrimitives.ReadUInt16LittleEndian(entry[30..]);
            int commentLength = BinaryPrimitives.ReadUInt16LittleEndian(entry[32..]);
            if (!Has(file, at + EntryBytes, nameLength + extraLength + commentLength)) throw Damaged(path, "its directory is truncated");
            string name = Encoding.UTF8.GetString(file.Bytes(at + EntryBytes, nameLength));
            long packed = BinaryPrimitives.ReadUInt32LittleEndian(entry[20..]),
                length = BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]);
            long local = BinaryPrimitives.ReadUInt32LittleEndian(entry[42..]);
            ReadZip64(file.Bytes(at + EntryBytes + nameLength, extraLength), ref length, ref packed, ref local);
            if (BinaryPrimitives.ReadUInt16LittleEndian(entry[10..]) != 0 || packed != length)
                throw Damaged(path, $"`{name}` in it is compressed, which PyTorch does not do");
            if (!Has(file, local, LocalBytes) || UInt32(file, local) != LocalSignature) throw Damaged(path, $"`{name}` in it is missing");
            ReadOnlySpan<byte> header = file.Bytes(local, LocalBytes);
            long data = local + LocalBytes + BinaryPrimitives.ReadUInt16LittleEndian(header[26..])
                + BinaryPrimitives.ReadUInt16LittleEndian(header[28..]);
            if (!Has(file, data, length)) throw Damaged(path, $"it is truncated: `{name}` in it ends behind the file");
            if (!entries.TryAdd(name[(name.IndexOf('/', StringComparison.Ordinal) + 1)..], (data, length)))
                throw Damaged(path, $"it has `{name}` twice");
            at += EntryBytes + nameLength + extraLength + commentLength;
        }
        return entries;
    }

    private static long FindEnd(FileMapping file, string path)
    {
        for (long at = file.Length - EndBytes; at >= Math.Max(0, file.Length - EndBytes - MaxComment); at--)
            if (UInt32(file, at) == EndSignature) return at;
        throw Damaged(path, "it is truncated: the directory at its end is missing");
    }

    /// <summary>The 64-bit sizes and offset of an entry whose 32-bit fields are full.</summary>
    private static void ReadZip64(ReadOnlySpan<byte> extra, ref long length, ref long packed, ref long local)
    {
        while (extra.Length >= 4)
        {
            int id = BinaryPrimitives.ReadUInt16LittleEndian(extra), size = BinaryPrimitives.ReadUInt16LittleEndian(extra[2..]);
            if (size > extra.Length - 4) return;
            ReadOnlySpan<byte> field = extra.Slice(4, size);
            if (id == 1)
            {
                Take(ref length, ref field);
                Take(ref packed, ref field);
                Take(ref local, ref field);
            }
            extra = extra[(4 + size)..];
        }

        static void Take(ref long value, ref ReadOnlySpan<byte> field)
        {
            if (value != uint.MaxValue || field.Length < 8) return;
            value = BinaryPrimitives.ReadInt64LittleEndian(field);
            field = field[8..];
        }
    }

    private static bool Has(FileMapping file, long offset, long length) =>
        offset >= 0 && length >= 0 && offset <= file.Length && length <= file.Length - offset;

    private static uint UInt32(FileMapping file, long offset) => BinaryPrimitives.ReadUInt32LittleEndian(file.Bytes(offset, 4));

    private static long Int64(FileMapping file, long offset, string path) => Has(file, offset, 8)
        ? BinaryPrimitives.ReadInt64LittleEndian(file.Bytes(offset, 8)) : throw Damaged(path, "its directory is damaged");

    private static Exception Damaged(string path, string what) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{path} cannot be read: {what}.", "Download or save the file again.");
}
