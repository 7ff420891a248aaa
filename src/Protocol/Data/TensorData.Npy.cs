using Ndif.Protocol.Files;

namespace Ndif;

// NumPy's .npy files.
public sealed partial class TensorData
{
    /// <summary>Reads an array that <c>np.save</c> wrote. Two-byte elements of type void are read as bfloat16 (ml_dtypes).</summary>
    /// <exception cref="NdifException">
    /// CORRUPT_DATA: the file is damaged or no .npy file. UNSUPPORTED: it holds objects, records, texts or unsigned numbers of several
    /// bytes.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TensorData LoadNpy(string path)
    {
        using FileStream file = File.OpenRead(path);
        return LoadNpy(file, path);
    }

    /// <summary>Reads an array that <c>np.save</c> wrote from a stream, to the end of the array.</summary>
    /// <param name="stream">At the beginning of the array. No more memory is taken than the stream has bytes.</param>
    /// <param name="name">The name of the array, for errors.</param>
    /// <inheritdoc cref="LoadNpy(string)"/>
    public static TensorData LoadNpy(Stream stream, string name = "The array")
    {
        NpyHeader header = NpyHeader.Read(stream, name);
        Int128 length = header.Type.ItemSize();
        foreach (long size in header.Shape) length = Int128.Min(length * size, long.MaxValue);
        if (length > Array.MaxLength)
            throw NpyHeader.Corrupt(name, $"has the shape {Text(header.Shape)}, and a tensor has at most {Array.MaxLength:N0} bytes");
        byte[] bytes = ReadBytes(stream, (int)length, name);
        if (header.IsBigEndian) ReverseBytes(bytes, header.Type);
        if (!header.IsFortranOrder) return new TensorData(header.Type, header.Shape, bytes);
        long[] reversed = [.. header.Shape.Reverse()];
        return new TensorData(header.Type, reversed, bytes).Permute([.. Enumerable.Range(0, reversed.Length).Reverse()]);
    }

    /// <summary>
    /// Writes the tensor to a file that <c>np.load</c> reads: format 1.0, C order. bfloat16 becomes two-byte elements of type void, as with
    /// ml_dtypes: <c>np.load(path).view(ml_dtypes.bfloat16)</c>. An existing file is replaced when all is written.
    /// </summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void SaveNpy(string path) => WholeFile.Write(path, SaveNpy);

    /// <summary>Writes the tensor to a stream in the format of .npy files.</summary>
    /// <inheritdoc cref="SaveNpy(string)"/>
    public void SaveNpy(Stream stream)
    {
        stream.Write(new NpyHeader(Type, false, false, _shape).ToBytes());
        stream.Write(Bytes.Span);
    }

    /// <summary>Reads so many bytes. Memory grows with what arrives, because a header can ask for anything.</summary>
    private static byte[] ReadBytes(Stream stream, int length, string name)
    {
        const int Part = 1 << 24;
        if (stream.CanSeek && stream.Length - stream.Position < length) throw Truncated(stream.Length - stream.Position);
        byte[] bytes = new byte[stream.CanSeek ? length : Math.Min(length, Part)];
        int read = 0;
        while (read < length)
        {
            if (read == bytes.Length) Array.Resize(ref bytes, (int)Math.Min(length, 2L * bytes.Length));
            int count = stream.Read(bytes, read, bytes.Length - read);
            if (count == 0) throw Truncated(read);
            read += count;
        }
        return bytes;

        Exception Truncated(long available) => NpyHeader.Corrupt(name,
            $"is truncated: {length} bytes of elements should follow the header, and there are {available}");
    }

    private static void ReverseBytes(byte[] bytes, DType type)
    {
        int size = type is DType.Complex64 or DType.Complex128 ? type.ItemSize() / 2 : type.ItemSize(); // two numbers
        for (int i = 0; i < bytes.Length; i += size) Array.Reverse(bytes, i, size);
    }
}
