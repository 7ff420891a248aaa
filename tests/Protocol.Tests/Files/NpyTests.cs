using System.Text;

namespace Ndif.Protocol.Tests.Files;

public sealed class NpyTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>What np.save writes, by NumPy's own tests (numpy/lib/tests/test_format.py).</summary>
    [Fact]
    public void AHeader_IsNumPys()
    {
        using MemoryStream written = new();
        new TensorData(DType.Complex128, [0], default).SaveNpy(written);
        Assert.Equal("\u0093NUMPY\u0001\0v\0{'descr': '<c16', 'fortran_order': False, 'shape': (0,), }".PadRight(127) + "\n",
            Encoding.Latin1.GetString(written.ToArray()));
    }

    public static TheoryData<DType> Types => [.. Enum.GetValues<DType>()];

    [Theory, MemberData(nameof(Types))]
    public void WhatIsWritten_IsRead(DType type)
    {
        foreach (long[] shape in (long[][])[[], [1], [5], [2, 3], [2, 0, 3], [1, 2, 3, 4]])
        {
            var bytes = new byte[shape.Aggregate(type.ItemSize(), (product, size) => (int)(product * size))];
            new Random(1).NextBytes(bytes);
            string path = Path.Combine(_folder, "a.npy");
            var tensor = new TensorData(type, shape, bytes);
            tensor.SaveNpy(path);
            Assert.True(TensorData.LoadNpy(path).SameAs(tensor), $"[{string.Join(", ", shape)}]");
            Assert.Equal(0, (new FileInfo(path).Length - bytes.Length) % 64);
            Assert.Equal(["a.npy"], Directory.GetFiles(_folder).Select(Path.GetFileName));
        }
    }

    [Theory]
    [InlineData(1), InlineData(2), InlineData(3)]
    public void EveryVersion_IsRead_InBothOrders(byte version)
    {
        byte[] elements = [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6];
        TensorData rows = Read(version, "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }", elements);
        Assert.Equal([1L, 2, 3, 4, 5, 6], rows.ToArray<long>());
        TensorData columns = Read(version, "{'shape': (2, 3), 'fortran_order': True, 'descr': '>i2'}\n", elements);
        Assert.Equal([1L, 3, 5, 2, 4, 6], columns.ToArray<long>());
        Assert.Equal([2, 3], columns.Shape.ToArray());
    }

    [Theory]
    [InlineData("'|V2'"), InlineData("'<V2'"), InlineData("'bfloat16'")]
    public void BFloat16_IsReadAsMlDtypesWritesIt(string descr) => Assert.Equal([1f, -2],
        Read(1, $"{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}", [0x80, 0x3f, 0, 0xc0]).ToArray<float>());

    [Theory]
    [InlineData("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", ErrorCode.Unsupported, "pickle")]
    [InlineData("{'descr': '<u4', 'fortran_order': False, 'shape': (1,), }", ErrorCode.Unsupported, "`<u4`")]
    [InlineData("{'descr': '<U7', 'fortran_order': False, 'shape': (1,), }", ErrorCode.Unsupported, "`<U7`")]
    [InlineData("{'descr': [('a', '<f4'), ('b', '<f4', (2,))], 'fortran_order': False, 'shape': (1,), }", ErrorCode.Unsupported, "fields")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", ErrorCode.CorruptData, "truncated")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", ErrorCode.CorruptData, "negative size -3")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }", ErrorCode.CorruptData, "at most")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (500000000,), }", ErrorCode.CorruptData, "truncated")]
    [InlineData("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", ErrorCode.CorruptData, "dictionary")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': 1, }", ErrorCode.CorruptData, "dictionary")]
    [InlineData("{'descr': '<f4', 'shape': (1,), }", ErrorCode.CorruptData, "dictionary")]
    [InlineData("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", ErrorCode.CorruptData, "dictionary")]
    [InlineData("__import__('os')", ErrorCode.CorruptData, "dictionary")]
    [InlineData("{'descr': ((((((((((((((((", ErrorCode.CorruptData, "dictionary")]
    public void AHostileHeader_IsRefused(string header, ErrorCode code, string said)
    {
        foreach (bool canSeek in (bool[])[true, false])
        {
            Exception error = Assert.ThrowsAny<NdifException>(() => Read(1, header, new byte[8], canSeek));
            Assert.Equal(code, Errors.FromException(error).Code);
            Assert.Contains(said, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void ADamagedFile_IsRefused_WhereverItIsDamaged()
    {
        using MemoryStream written = new();
        TensorData.Arange(6).SaveNpy(written);
        byte[] whole = written.ToArray();
        for (int length = 0; length < whole.Length; length++)
            Assert.Equal(ErrorCode.CorruptData, Errors.FromException(Assert.ThrowsAny<NdifException>(() =>
                TensorData.LoadNpy(new MemoryStream(whole[..length])))).Code);
        var random = new Random(1);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = [.. whole];
            damaged[random.Next(90)] = (byte)random.Next(256);
            try
            {
                Assert.True(TensorData.LoadNpy(new MemoryStream(damaged)).Bytes.Length <= whole.Length);
            }
            catch (NdifException e) when (e.Code is ErrorCode.CorruptData or ErrorCode.Unsupported)
            {
                // refused with its reason
            }
        }
        Assert.Throws<FileNotFoundException>(() => TensorData.LoadNpy(Path.Combine(_folder, "nothing.npy")));
    }

    private static TensorData Read(byte version, string header, byte[] elements, bool canSeek = true)
    {
        byte[] length = version == 1 ? BitConverter.GetBytes((ushort)header.Length) : BitConverter.GetBytes(header.Length);
        byte[] file = [0x93, .. "NUMPY"u8, version, 0, .. length, .. Encoding.UTF8.GetBytes(header), .. elements];
        return TensorData.LoadNpy(canSeek ? new MemoryStream(file) : new Pipe(file));
    }

    /// <summary>A stream of unknown length, as of a download.</summary>
    private sealed class Pipe(byte[] content) : MemoryStream(content)
    {
        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();
    }
}
