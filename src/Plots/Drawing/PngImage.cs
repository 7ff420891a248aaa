using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;
using System.Text;

namespace Ndif.Drawing;

/// <summary>Writes pixels as a PNG file.</summary>
/// <remarks>https://www.w3.org/TR/png-3/</remarks>
internal static class PngImage
{
    /// <param name="color">The colour of a pixel, by its place in row-major order.</param>
    public static byte[] Encode(int width, int height, Func<int, Rgb> color)
    {
        using var file = new MemoryStream();
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a]);
        var header = new byte[13]; // width, height, 8 bits a channel, RGB, deflate, adaptive filter, no interlace
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (8, 2);
        WriteChunk(file, "IHDR", header);
        using var pixels = new MemoryStream();
        using (var deflate = new ZLibStream(pixels, CompressionLevel.Optimal, leaveOpen: true))
        {
            var line = new byte[1 + (3 * width)]; // the first byte says that the line is not filtered
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                    (line[1 + (3 * x)], line[2 + (3 * x)], line[3 + (3 * x)]) = color((y * width) + x) is var c ? (c.R, c.G, c.B) : default;
                deflate.Write(line);
            }
        }
        WriteChunk(file, "IDAT", pixels.ToArray());
        WriteChunk(file, "IEND", []);
        return file.ToArray();
    }

    private static void WriteChunk(MemoryStream file, string name, byte[] data)
    {
        byte[] named = [.. Encoding.ASCII.GetBytes(name), .. data];
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(named);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc32.HashToUInt32(named));
        file.Write(number);
    }
}
