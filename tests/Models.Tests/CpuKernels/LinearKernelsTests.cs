using Ndif.Models.CpuKernels;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>The kernels compared with libtorch, and the inputs that only libtorch computes.</summary>
public sealed class LinearKernelsTests
{
    public static TheoryData<CpuCapability, int, int, int, ScalarType, bool> Shapes
    {
        get
        {
            TheoryData<CpuCapability, int, int, int, ScalarType, bool> shapes = [];
            foreach (var (capability, type) in ((CpuCapability, ScalarType)[])[(CpuCapability.Avx2, ScalarType.Float32),
                (CpuCapability.Avx2, ScalarType.BFloat16), (CpuCapability.Avx512, ScalarType.Float32),
                (CpuCapability.Avx512, ScalarType.BFloat16), (CpuCapability.Avx512BFloat16, ScalarType.BFloat16)])
                foreach (var (rows, inputs, outputs) in ((int, int, int)[])[(1, 768, 2304), (1, 32, 1), (2, 64, 35), (3, 64, 5),
                    (4, 96, 33), (7, 3072, 768), (10, 128, 1422), (16, 320, 47), (17, 1104, 70), (37, 64, 33), (150, 1536, 96),
                    (9, 4144, 65), (70, 2096, 130)])
                {
                    shapes.Add(capability, rows, inputs, outputs, type, true);
                    shapes.Add(capability, rows, inputs, outputs, type, false);
                }
            return shapes;
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void AProduct_IsLibtorchs_UpToTheOrderOfItsSums(CpuCapability capability, int rows, int inputs, int outputs, ScalarType type,
        bool bias)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using TorchSharp.torch.Generator random = new((ulong)(rows * inputs + outputs));
        Tensor x = randn([1, rows, inputs], generator: random).to(type), w = randn([outputs, inputs], generator: random).to(type),
            b = randn([outputs], generator: random).to(type);
        Tensor exact = x.to(ScalarType.Float64).matmul(w.to(ScalarType.Float64).t());
        Same(LinearKernels.TryLinear(x, w, bias ? b : null), bias ? exact + b.to(ScalarType.Float64) : exact);
        Same(LinearKernels.TryAddmm(x, w.t().contiguous(), b), exact + b.to(ScalarType.Float64));
        Same(LinearKernels.TryLinear(x.transpose(0, 1).contiguous().transpose(0, 1), w, null), exact);

        void Same(Tensor? ours, Tensor expected)
        {
            Assert.NotNull(ours);
            Assert.Equal([1, rows, outputs], ours.shape);
            Assert.Equal(type, ours.dtype);
            double difference = (ours.to(ScalarType.Float64) - expected).abs().max().item<double>(),
                largest = expected.abs().max().item<double>();
            Assert.InRange(difference, 0, largest * (type == ScalarType.Float32 ? 1e-6 : 4e-3) * Math.Max(1, Math.Sqrt(inputs) / 8));
        }
    }

    /// <summary>The kernels for one row, for a few rows and for many rows add the same products in the same order.</summary>
    [Theory]
    [InlineData(ScalarType.Float32, 2), InlineData(ScalarType.Float32, 3), InlineData(ScalarType.Float32, 10),
        InlineData(ScalarType.Float32, 40), InlineData(ScalarType.Float32, 300)]
    [InlineData(ScalarType.BFloat16, 2), InlineData(ScalarType.BFloat16, 3), InlineData(ScalarType.BFloat16, 8),
        InlineData(ScalarType.BFloat16, 100)]
    public void ARowAlone_IsTheRowBatched_BitForBit(ScalarType type, int rows)
    {
        using CapabilityLimit limit = CapabilityLimit.Highest(CpuCapability.Avx512);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor x = randn(rows, 1568).to(type), w = randn(70, 1568).to(type), b = randn(70).to(type), t = w.t().contiguous();
        Tensor columns = LinearKernels.TryAddmm(x, t, b)!, byRows = LinearKernels.TryLinear(x, w, b)!;
        foreach (int row in (int[])[0, rows / 2, rows - 1])
        {
            Tensor alone = x[row].unsqueeze(0);
            Assert.True(LinearKernels.TryAddmm(alone, t, b)!.eq(columns[row]).all().item<bool>());
            Assert.True(LinearKernels.TryLinear(alone, w, b)!.eq(byRows[row]).all().item<bool>());
        }
    }

    /// <summary>
    /// For nine or more rows, <see cref="BFloat16Gemm"/> computes bfloat16, and a row does not depend on the number of rows.
    /// </summary>
    [Theory, InlineData(10), InlineData(31), InlineData(32), InlineData(77), InlineData(300)]
    public void ARowOfBFloat16_InBatchesOfNineOrMore_IsTheSame_BitForBit(int rows)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(CpuCapability.Avx512BFloat16);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor x = randn(rows, 2144).to(ScalarType.BFloat16), w = randn(190, 2144).to(ScalarType.BFloat16),
            b = randn(190).to(ScalarType.BFloat16), t = w.t().contiguous();
        foreach (bool isInputMajor in (bool[])[false, true])
        {
            WeightView view = WeightView.TryCreate(isInputMajor ? t : w, b, isInputMajor)!.Value;
            Tensor all = ProductKernelTableTests.Multiply(x, view, ProductKernel.BFloat16),
                last = ProductKernelTableTests.Multiply(x.narrow(0, rows - 9, 9), view, ProductKernel.BFloat16);
            Assert.True(last.eq(all.narrow(0, rows - 9, 9)).all().item<bool>());
        }
    }

    /// <summary>A quantized weight is multiplied with activations that are not quantized.</summary>
    [Theory, MemberData(nameof(Shapes))]
    public void AProductInEightBits_IsThatWithTheDequantizedWeight(CpuCapability capability, int rows, int inputs, int outputs,
        ScalarType type, bool bias)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using TorchSharp.torch.Generator random = new((ulong)(rows * inputs + outputs));
        Tensor x = randn([rows, inputs], generator: random).to(type), w = randn([outputs, inputs], generator: random),
            b = randn([outputs], generator: random).to(type);
        foreach (bool isInputMajor in (bool[])[false, true])
        {
            using EightBitWeight narrow = EightBitWeight.Quantize(isInputMajor ? w.t().contiguous() : w, isInputMajor ? 0 : 1, type, CPU);
            Tensor exact = narrow.Values.to(ScalarType.Float64) * narrow.Scales.to(ScalarType.Float64);
            Tensor expected = x.to(ScalarType.Float64).matmul(isInputMajor ? exact : exact.t());
            if (bias) expected += b.to(ScalarType.Float64);
            Tensor ours = LinearKernels.TryMultiply(x, WeightView.TryCreate(narrow, bias ? b : null, isInputMajor)!.Value)!;
            Assert.Equal(type, ours.dtype);
            double difference = (ours.to(ScalarType.Float64) - expected).abs().max().item<double>(),
                largest = expected.abs().max().item<double>();
            Assert.InRange(difference, 0, largest * (type == ScalarType.Float32 ? 1e-6 : 4e-3) * Math.Max(1, Math.Sqrt(inputs) / 8));
        }
    }

    [Theory, InlineData(CpuCapability.Default), InlineData(CpuCapability.Avx2), InlineData(CpuCapability.Avx512),
        InlineData(CpuCapability.Avx512BFloat16)]
    public void WhatItIsNotMadeFor_IsLibtorchs(CpuCapability capability)
    {
        using CapabilityLimit limit = CapabilityLimit.Of(capability);
        using var scope = NewDisposeScope();
        Tensor w = randn(64, 64), x = randn(2, 64);
        Assert.Equal(capability != CpuCapability.Default, Forward() is not null);
        using (enable_grad()) Assert.Null(LinearKernels.TryLinear(x, w, null));
        using var nothing = no_grad();
        Assert.Null(LinearKernels.TryLinear(randn(2, 65), randn(64, 65), null));
        Assert.Null(LinearKernels.TryLinear(x.to(ScalarType.Float64), w.to(ScalarType.Float64), null));
        Assert.Null(LinearKernels.TryLinear(x, randn(64, 64).t(), null));
        Assert.Null(LinearKernels.TryLinear(x.to(ScalarType.BFloat16), w, null));
        Assert.Null(LinearKernels.TryLinear(empty([2, 64], device: META), empty([64, 64], device: META), null));
        Assert.Null(LinearKernels.TryLinear(randn(0, 64), w, null));
        Assert.Equal([17, 64], LinearKernels.linear(randn(17, 64), w, null).shape);
        Assert.Equal([17, 64], LinearKernels.addmm(zeros(64), randn(17, 64), w).shape);

        Tensor? Forward()
        {
            using var noGrad = no_grad();
            return LinearKernels.TryLinear(x, w, null);
        }
    }
}
