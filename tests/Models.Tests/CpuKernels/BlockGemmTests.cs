using Ndif.Models.CpuKernels;
using Ndif.Models.Files;
using Ndif.Models.Files.Packed;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>Products with a weight in four or eight bits by blocks are those with the dequantized weight.</summary>
public sealed class BlockGemmTests
{
    private static readonly sbyte[] _nibbles = [.. Enumerable.Range(-8, 16).Select(value => (sbyte)value)];

    public static TheoryData<CpuCapability, string, int, bool, int, int, int, ScalarType> Cases
    {
        get
        {
            TheoryData<CpuCapability, string, int, bool, int, int, int, ScalarType> data = [];
            foreach (CpuCapability capability in (CpuCapability[])[CpuCapability.Avx2, CpuCapability.Avx512, CpuCapability.Avx512BFloat16])
                foreach (var (code, block, offsets) in new[] { ("Nibble", 32, false), ("Nibble", 32, true), ("Nibble", 128, true),
                    ("Nibble", 16, true), ("Nibble", 16, false), ("Int8", 32, false), ("Int8", 16, true), ("Float8", 128, false),
                        ("Float8", 4096, false) })
                    foreach (var (rows, inputs, outputs) in new[] { (1, 64, 33), (3, 2112, 70), (17, 1088, 64), (40, 96, 130) })
                        foreach (ScalarType type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16])
                            data.Add(capability, code, block, offsets, rows, inputs, outputs, type);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Product_IsThatWithTheDequantizedWeight(
        CpuCapability capability, string code, int block, bool offsets, int rows, int inputs, int outputs, ScalarType type)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using BlockWeight weight = BlockWeight.Create(Random(Enum.Parse<BlockCode>(code), block, offsets, inputs, outputs,
            out PackedTensor source), type);
        using Tensor wide = source.Read(); // [outputs, inputs]
        Tensor x = randn(rows, inputs).to(type), bias = randn(outputs).to(type);
        WeightView view = WeightView.TryCreate(weight, bias)!.Value;
        Tensor ours = LinearKernels.TryMultiply(x, view)!;
        Assert.True(weight.Dequantize().eq(wide.to(type)).all().item<bool>());
        Assert.Equal(weight.Bytes, source.Layout.Bytes);

        Tensor exact = x.to(ScalarType.Float64).matmul(wide.to(ScalarType.Float64).t()) + bias.to(ScalarType.Float64);
        double difference = (ours.to(ScalarType.Float64) - exact).abs().max().item<double>(), largest = exact.abs().max().item<double>();
        Assert.InRange(difference, 0, largest * (type == ScalarType.Float32 ? 1e-6 : 4e-3) * Math.Max(1, Math.Sqrt(inputs) / 8));
        if (type == ScalarType.Float32) Assert.True(ours.eq(LinearKernels.TryLinear(x, wide, bias)!).all().item<bool>()); // bit for bit
        for (int row = 0; row < rows; row += 7) // a row alone is the row batched
            Assert.True(LinearKernels.TryMultiply(x.narrow(0, row, 1), view)!.eq(ours.narrow(0, row, 1)).all().item<bool>());

        WeightView slice = view.Slice(5, outputs - 9);
        Assert.True(LinearKernels.TryMultiply(x, slice)!.eq(ours.narrow(1, 5, outputs - 9)).all().item<bool>());
    }

    [Fact]
    public void Float8_HasTheValuesOfTheFormat()
    {
        Assert.Equal([0f, 1f / 512, 7f / 512, 1f / 64, 1f, 448f, -448f, -0.0625f],
            ((byte[])[0, 1, 7, 8, 0x38, 0x7E, 0xFE, 0x98]).Select(BlockLayout.Float8));
        Assert.True(float.IsNaN(BlockLayout.Float8(0x7F)));
    }

    private static PackedTensor Random(BlockCode code, int block, bool offsets, int inputs, int outputs, out PackedTensor source)
    {
        BlockLayout layout = new(outputs, inputs, code, block, offsets, code == BlockCode.Nibble ? _nibbles : []);
        SafetensorsEntry entry = new("w", SafetensorsDType.FindByName("F32")!, [outputs, inputs], 0, 0);
        return source = new PackedTensor(entry, layout, isTransposed: false, (row, codes, scales, rowOffsets) =>
        {
            Random random = new((int)row + 1);
            for (int k = 0; k < codes.Length; k++)
            {
                codes[k] = (sbyte)(code == BlockCode.Nibble ? random.Next(16) : random.Next(-128, 128));
                if (code == BlockCode.Float8 && (codes[k] & 0x7F) == 0x7F) codes[k] = 0; // NaN
            }
            for (int i = 0; i < scales.Length; i++) scales[i] = (float)random.NextDouble() * (code == BlockCode.Nibble ? 0.1f : 0.01f);
            for (int i = 0; i < rowOffsets.Length; i++) rowOffsets[i] = (float)random.NextDouble() - 0.5f;
        }, () => { });
    }
}
