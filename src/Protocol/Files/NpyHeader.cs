using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Ndif.Protocol.Files;

/// <summary>The header of a .npy file: the element type and its byte order, the order of the elements, and the shape.</summary>
/// <param name="Type">The type of the elements.</param>
/// <param name="IsBigEndian">Whether the most significant byte of an element comes first.</param>
/// <param name="IsFortranOrder">Whether the first index varies fastest.</param>
/// <param name="Shape">The sizes of the dimensions.</param>
/// <remarks>
/// The file is a magic text, a version, the length of the header, the header as a literal of a Python dictionary, and the elements
/// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). bfloat16 is what NumPy writes for the type of ml_dtypes: two
/// bytes of type void.
/// </remarks>
internal sealed record NpyHeader(DType Type, bool IsBigEndian, bool IsFortranOrder, long[] Shape)
{
    private const int MaxBytes = 1 << 16; // a header of 32 dimensions has less than a kilobyte

    private static ReadOnlySpan<byte> Magic => "\u0093NUMPY"u8[1..]; // UTF-8 writes the first character as C2 93

    private static readonly (string Code, DType Type)[] _codes =
    [
        ("f4", DType.Float32), ("f8", DType.Float64), ("f2", DType.Float16), ("V2", DType.BFloat16), ("i1", DType.Int8),
        ("i2", DType.Int16), ("i4", DType.Int32), ("i8", DType.Int64), ("u1", DType.UInt8), ("b1", DType.Bool), ("c8", DType.Complex64),
        ("c16", DType.Complex128),
    ];

    /// <summary>Reads a header and leaves the stream at the elements.</summary>
    /// <param name="name">The name of the file, for errors.</param>
    /// <exception cref="NdifException">CORRUPT_DATA: this is no .npy file. UNSUPPORTED: a tensor has no such elements.</exception>
    public static NpyHeader Read(Stream stream, string name)
    {
        Span<byte> start = stackalloc byte[8];
        if (stream.ReadAtLeast(start, 8, throwOnEndOfStream: false) < 8 || !start[..6].SequenceEqual(Magic))
            throw Corrupt(name, "does not begin as a .npy file does");
        if (start[6] is < 1 or > 3) throw Corrupt(name, $"has the version {start[6]}.{start[7]} of the .npy format; 1.0 to 3.0 are known");
        Span<byte> sized = stackalloc byte[start[6] == 1 ? 2 : 4];
        if (stream.ReadAtLeast(sized, sized.Length, throwOnEndOfStream: false) < sized.Length) throw Corrupt(name, "ends in its header");
        uint length = sized.Length == 2 ? BinaryPrimitives.ReadUInt16LittleEndian(sized) : BinaryPrimitives.ReadUInt32LittleEndian(sized);
        if (length > MaxBytes) throw Corrupt(name, $"says its header has {length} bytes; {MaxBytes} are allowed");
        var text = new byte[length];
        if (stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false) < text.Length) throw Corrupt(name, "ends in its header");
        return Parse(Encoding.UTF8.GetString(text), name);
    }

    /// <summary>The bytes before the elements, as NumPy writes them: version 1.0, padded to a multiple of 64.</summary>
    public byte[] ToBytes()
    {
        string code = _codes.First(pair => pair.Type == Type).Code;
        string shape = string.Concat(Shape.Select(size => size.ToString(CultureInfo.InvariantCulture) + ", "));
        string text = $"{{'descr': '{(Type.ItemSize() == 1 ? '|' : '<')}{code}', 'fortran_order': False, "
            + $"'shape': ({(Shape.Length == 1 ? shape.TrimEnd() : shape.TrimEnd(' ', ','))}), }}";
        int length = ((10 + text.Length + 1 + 63) / 64 * 64) - 10;
        var bytes = new byte[10 + length];
        Magic.CopyTo(bytes);
        bytes[6] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), checked((ushort)length));
        Encoding.ASCII.GetBytes(text.PadRight(length - 1) + "\n", bytes.AsSpan(10));
        return bytes;
    }

    private static NpyHeader Parse(string text, string name)
    {
        var parser = new PythonLiteral(text);
        if (!parser.TryReadDictionary(out Dictionary<string, object>? entries)
            || entries.GetValueOrDefault("fortran_order") is not bool isFortranOrder
            || entries.GetValueOrDefault("shape") is not object[] sizes || sizes.Any(size => size is not long)
            || entries.GetValueOrDefault("descr") is not { } descr)
            throw Corrupt(name, "has a header that is not a dictionary of descr, fortran_order and shape");
        long[] shape = Array.ConvertAll(sizes, size => (long)size);
        if (shape.Any(size => size < 0)) throw Corrupt(name, $"has the negative size {shape.Min()} in its shape");
        if (descr is not string { Length: >= 2 } code)
            throw Unsupported(name, "records of several fields", "Save each field as an array of its own.");
        if (code == "bfloat16") return new NpyHeader(DType.BFloat16, false, isFortranOrder, shape); // NumPy reads it with ml_dtypes
        foreach ((string known, DType type) in _codes)
            if (code[0] is '<' or '>' or '|' or '=' && code.AsSpan(1).SequenceEqual(known))
                return new NpyHeader(type, code[0] == '>' && type.ItemSize() > 1, isFortranOrder, shape);
        throw code[1] is 'O'
            ? Unsupported(name, "Python objects", "A file of objects is a pickle, which can run code; save arrays of numbers.")
            : Unsupported(name, $"elements of the type `{code}`", "Convert the array before it is saved, as with a.astype('<f4').");
    }

    internal static Exception Corrupt(string name, string what) => Errors.CreateException(ErrorCode.CorruptData, $"{name} {what}.",
        "The file is damaged or not in NumPy's .npy format: save it again with np.save.");

    private static Exception Unsupported(string name, string what, string hint) =>
        Errors.CreateException(ErrorCode.Unsupported, $"{name} holds {what}, which a tensor cannot have.", hint);
}
