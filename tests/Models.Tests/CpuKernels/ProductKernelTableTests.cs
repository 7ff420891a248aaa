using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>The choice among kernels, which is measured once for a machine.</summary>
public sealed class ProductKernelTableTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(ScalarType.Float32, false), InlineData(ScalarType.BFloat16, false), InlineData(ScalarType.Float32, true),
        InlineData(ScalarType.BFloat16, true)]
    public void WhatWasMeasured_IsReadTheNextTime(ScalarType type, bool isEightBit)
    {
        using CapabilityLimit limit = CapabilityLimit.Highest(CpuCapability.Avx512BFloat16);
        ProductKernel[] measured = ProductKernelTable.LoadOrMeasure(_folder.Path, type, isEightBit);
        Assert.Equal(10, measured.Length);
        if (Directory.GetFiles(_folder.Path) is not [string file])
        {
            Assert.Skip("this machine was too busy to measure in the time that is allowed");
            return;
        }
        Assert.Equal(measured, File.ReadAllLines(file).Select(Enum.Parse<ProductKernel>));
        ProductKernel[] known = [.. Enumerable.Range(0, 10).Select(i => i % 5 == 0 ? ProductKernel.Streamed : ProductKernel.Packed)];
        File.WriteAllLines(file, known.Select(kernel => kernel.ToString()));
        Assert.Equal(known, ProductKernelTable.LoadOrMeasure(_folder.Path, type, isEightBit));
        string[] tooFew = ["", "1", "Packed"], noCandidates = ["Packed", "77", "BFloat16"];
        foreach (string broken in tooFew.Concat(noCandidates.Select(name => string.Join('\n', Enumerable.Repeat(name, 10)))))
        {
            File.WriteAllText(file, broken);
            ProductKernel[] again = ProductKernelTable.LoadOrMeasure(_folder.Path, type, isEightBit);
            Assert.Equal(10, again.Length);
            Assert.Equal(ProductKernel.Streamed, again[0]);
        }
    }

    /// <summary>A choice in float32 must not change a row's values with the number of rows.</summary>
    [Theory, InlineData(CpuCapability.Avx2), InlineData(CpuCapability.Avx512)]
    public void InFloat32_AllCandidatesGiveTheSameBits(CpuCapability capability)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        foreach (var (inputs, outputs) in ((int, int)[])[(64, 33), (1568, 70), (4144, 65), (768, 256)])
            foreach (int rows in (int[])[2, 5, 12, 13, 19, 100])
                foreach (bool isInputMajor in (bool[])[false, true])
                {
                    Tensor x = randn(rows, inputs), w = isInputMajor ? randn(inputs, outputs) : randn(outputs, inputs), b = randn(outputs);
                    WeightView view = WeightView.TryCreate(w, b, isInputMajor)!.Value;
                    Assert.DoesNotContain(ProductKernel.Libtorch, ProductKernelTable.Candidates(ScalarType.Float32, false, rows));
                    Tensor[] products = [.. ProductKernelTable.Candidates(ScalarType.Float32, false, rows)
                        .Select(kernel => Multiply(x, view, kernel))];
                    Assert.Equal(2, products.Length);
                    Assert.True(products[0].eq(products[1]).all().item<bool>(), $"{rows} x {inputs} x {outputs}, {isInputMajor}");
                    // the input of one row is the same memory in both, so the row alone is streamed
                    Assert.True(Multiply(x[rows - 1].unsqueeze(0), view, ProductKernel.Streamed).eq(products[1][rows - 1]).all()
                        .item<bool>());
                }
    }

    /// <returns>[rows, outFeatures]</returns>
    internal static Tensor Multiply(Tensor x, WeightView view, ProductKernel kernel)
    {
        using Tensor input = x.contiguous();
        Tensor y = empty([x.size(0), view.OutFeatures], x.dtype);
        LinearKernels.Multiply(view, GemmInput.Create(input, view, kernel), NativeTensor.DataPointer(y.Handle));
        return y;
    }
}
