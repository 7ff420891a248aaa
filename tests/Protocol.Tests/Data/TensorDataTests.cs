using Google.Protobuf;
using Ndif.Protocol;
namespace Ndif.Protocol.Tests.Data;

public sealed class TensorDataTests
{
    private static readonly TensorData _matrix = TensorData.FromArray(new float[] { 1, 2, 3, 4, 5, 6 }, 2, 3);

    [Fact]
    public void Wire_KeepsTypeShapeAndBytes()
    {
        foreach (DType type in Enum.GetValues<DType>().Where(t => t is not (DType.Complex64 or DType.Complex128)))
        {
            TensorData tensor = _matrix.To(type);
            TensorData back =
                TensorData.FromProto(Tensor.Parser.ParseFrom(Google.Protobuf.MessageExtensions.ToByteArray(tensor.ToProto())));
            Assert.True(tensor.SameAs(back), $"{type}");
        }
    }

    [Fact]
    public void Wire_RefusesWhatDoesNotFit()
    {
        var deep = new Tensor { Dtype = DataType.Float32, Inline = ByteString.CopyFrom(0, 0, 0, 0) };
        for (int i = 0; i < 65; i++) deep.Shape.Add(1);
        Assert.Equal(ErrorCode.CorruptData, Assert.Throws<NdifException>(() => TensorData.FromProto(deep)).Code);
        Assert.Equal(ErrorCode.CorruptData,
            Assert.Throws<NdifException>(() =>
                TensorData.FromProto(
                    new Tensor { Dtype = DataType.Float32, Shape = { 3 }, Inline = Google.Protobuf.ByteString.CopyFrom(1, 2) })).Code);
        Assert.Equal(ErrorCode.CorruptData,
            Assert.Throws<NdifException>(() =>
                TensorData.FromProto(new Tensor { Dtype = (DataType)99, Inline = Google.Protobuf.ByteString.Empty })).Code);
        Assert.Equal(ErrorCode.CorruptData,
            Assert.Throws<NdifException>(() => TensorData.FromProto(new Tensor { Dtype = DataType.Float32 })).Code);
        Assert.Equal(ErrorCode.CorruptData,
            Assert.Throws<NdifException>(() =>
                TensorData.FromProto(
                    new Tensor { Dtype = DataType.Float32, Shape = { long.MaxValue, 4 }, Inline = Google.Protobuf.ByteString.Empty }))
                    .Code);
    }

    [Fact]
    public void Making_GivesTypesAndShapes()
    {
        Assert.Equal([0f, 0, 0], TensorData.Zeros([3]).ToArray<float>());
        Assert.Equal([1L, 1], TensorData.Ones([2], DType.Int64).ToArray<long>());
        Assert.Equal([2.5, 2.5], TensorData.Full([1, 2], 2.5, DType.Float64).ToArray<double>());
        Assert.Equal([0L, 1, 2], TensorData.Arange(3).ToArray<long>());
        Assert.Equal(0, TensorData.Zeros([2, 0]).Count);
        Assert.Throws<ArgumentException>(() => new TensorData(DType.Float32, [2], new byte[7]));
        Assert.Throws<ArgumentOutOfRangeException>(() => TensorData.Zeros([-1]));
    }

    [Fact]
    public void Randn_IsTheSameForASeed_AndNormal()
    {
        TensorData draws = TensorData.Randn([10_000], seed: 5);
        Assert.True(draws.SameAs(TensorData.Randn([10_000], seed: 5)));
        Assert.False(draws.SameAs(TensorData.Randn([10_000], seed: 6)));
        Assert.InRange(draws.Mean().Item<double>(), -0.05, 0.05);
        Assert.InRange((draws * draws).Mean().Item<double>(), 0.95, 1.05);
    }

    [Fact]
    public void Conversions_RoundAsPyTorch()
    {
        TensorData numbers = TensorData.FromArray(new double[] { 1.5, -2.7, 300, 1.00390625 });
        Assert.Equal([1L, -2, 300, 1], numbers.To(DType.Int64).ToArray<long>());
        Assert.Equal([1.5f, -2.703125f, 300, 1.0f], numbers.To(DType.BFloat16).ToArray<float>());   // 1.00390625 is a tie, rounded to even
        Assert.Equal([true, true, true, true], numbers.To(DType.Bool).ToArray<bool>());
        Assert.Equal([(Half)1.5, (Half)(-2.7), (Half)300, (Half)1.00390625], numbers.To(DType.Float16).ToArray<Half>());
        Assert.Equal(long.MaxValue, TensorData.FromArray(new[] { long.MaxValue }).ToArray<long>()[0]);
        Assert.Equal(1.5f, numbers[0].Item<float>());
        Assert.Throws<InvalidOperationException>(() => numbers.Item<float>());
        Assert.Equal(double.PositiveInfinity, TensorData.FromArray(new[] { 1e300 }).To(DType.BFloat16).Item<double>());
    }

    [Fact]
    public void Checksum_IsTheSha256OfTheBytes() =>
        Assert.Equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", TensorData.Zeros([0]).Checksum());

    [Fact]
    public void Span_IsOfTheElementTypeOnly()
    {
        Assert.Equal(6, _matrix.Span<float>().Length);
        Assert.Contains("float32, not int64", Assert.Throws<InvalidOperationException>(() => _matrix.Span<long>().Length).Message,
            StringComparison.Ordinal);
    }

    [Theory] // found by fuzzing: the product of these sizes overflows 64 bits and gives four bytes
    [InlineData(-1L, long.MaxValue)]
    [InlineData(1L << 62, 4L, 1L)]
    [InlineData(-1L, -1L)]
    [InlineData(3037000500L, 3037000500L)]
    [InlineData(0L, -1L)]
    public void Sizes_ThatNoTensorHas_AreRefused(params long[] shape)
    {
        foreach (int bytes in (int[])[0, 4])
        {
            NdifException refused =
                Assert.ThrowsAny<NdifException>(() =>
                    TensorData.FromProto(
                        new Tensor { Dtype = DataType.Float32, Shape = { shape }, Inline = ByteString.CopyFrom(new byte[bytes]) }));
            Assert.Equal(ErrorCode.CorruptData, refused.Code);
        }
    }
}
