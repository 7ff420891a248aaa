namespace Ndif.Protocol.Tests.Data;

public sealed class TensorDataMathTests
{
    private static readonly TensorData _matrix = TensorData.FromArray(new float[] { 1, 5, 3, 4, 2, 6 }, 2, 3);

    [Fact]
    public void Reductions_OverAll_AndAlongADimension()
    {
        Assert.Equal(5, _matrix.ArgMax().Item<long>());
        Assert.Equal([1L, 2], _matrix.ArgMax(-1).ToArray<long>());
        Assert.Equal([0L, 1], _matrix.ArgMin(1).ToArray<long>());
        Assert.Equal([4f, 5, 6], _matrix.Max(0).Values.ToArray<float>());
        Assert.Equal([1L, 0, 1], _matrix.Max(0).Indices.ToArray<long>());
        Assert.Equal(1, _matrix.Min().Item<float>());
        Assert.Equal([9f, 12], _matrix.Sum(1).ToArray<float>());
        Assert.Equal(3.5, _matrix.Mean().Item<double>());
        Assert.Equal(5, TensorData.FromArray(new float[] { 3, 4 }).Norm().Item<float>());
        Assert.Equal([5f, 7, 9], _matrix.Norm(1, dim: 0).ToArray<float>()); // the first argument is p, as that of Value.Norm
        Assert.Equal([2, 1], _matrix.Norm(dim: -1, keepdim: true).Shape.ToArray());
        Assert.Equal(21, _matrix.Sum(dim: [0, 1]).Item<float>());
        Assert.Equal(0, _matrix.Sum().Shape.Length);
        Assert.Equal([2], _matrix.Sum(1).Shape.ToArray());
    }

    [Fact]
    public void Integers_AreSummedAsIntegers_AndAveragedAsFloats()
    {
        TensorData integers = TensorData.FromArray(new long[] { 1, 2 });
        Assert.Equal(DType.Int64, integers.Sum().Type);
        Assert.Equal(1.5, integers.Mean().Item<double>());
        Assert.Equal(DType.Float32, (integers / 2).Type);
    }

    [Fact]
    public void NotANumber_Prevails()
    {
        TensorData odd = TensorData.FromArray(new[] { 1, float.NaN, 3 });
        Assert.True(float.IsNaN(odd.Max().Item<float>()));
        Assert.True(float.IsNaN(odd.Min().Item<float>()));
        Assert.Equal(1, odd.ArgMax().Item<long>());
        Assert.False(odd.AllClose(odd));
        Assert.True(double.IsNaN(odd.MaxAbsDifference(TensorData.Zeros([3]))));
    }

    [Fact]
    public void TopK_IsSorted_PerRow()
    {
        (TensorData values, TensorData indices) = _matrix.TopK(2);
        Assert.Equal([5f, 3, 6, 4], values.ToArray<float>());
        Assert.Equal([1L, 2, 2, 0], indices.ToArray<long>());
        Assert.Equal([2, 2], indices.Shape.ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => _matrix.TopK(4));
    }

    [Fact]
    public void Softmax_SumsToOne()
    {
        Assert.True(TensorData.FromArray(new[] { 0.0900f, 0.2447f, 0.6652f })
            .AllClose(TensorData.FromArray(new float[] { 1, 2, 3 }).Softmax(), atol: 1e-4));
        Assert.True(TensorData.Ones([3]).AllClose(_matrix.Softmax(0).Sum(0)));
    }

    [Fact]
    public void Arithmetic_Broadcasts()
    {
        TensorData row = TensorData.FromArray(new float[] { 10, 20, 30 }), column = TensorData.FromArray(new float[] { 1, 2 }, 2, 1);
        Assert.Equal([11f, 25, 33, 14, 22, 36], (_matrix + row).ToArray<float>());
        Assert.Equal([0f, 4, 2, 2, 0, 4], (_matrix - column).ToArray<float>());
        Assert.Equal([2, 3], (row * column).Shape.ToArray());
        Assert.Equal([10f, 20, 30, 20, 40, 60], (row * column).ToArray<float>());
        Assert.Equal([2f, 10, 6, 8, 4, 12], (2 * _matrix).ToArray<float>());
        Assert.Equal([0.5f, 1], (TensorData.FromArray(new float[] { 1, 2 }) / 2).ToArray<float>());
        Assert.Throws<ShapeMismatchException>(() => _matrix + TensorData.Zeros([2]));
    }

    [Fact]
    public void AScalarStaysOne()
    {
        TensorData scalar = TensorData.FromArray(new[] { 2f }).Reshape();
        Assert.Equal(0, (scalar * 3).Shape.Length);
        Assert.Equal(0, (scalar + scalar).Shape.Length);
        Assert.Equal([4f], (scalar * scalar).ToArray<float>());
    }

    [Fact]
    public void MatMul_OfMatricesAndVectors()
    {
        TensorData vector = TensorData.FromArray(new float[] { 1, 0, 2 });
        Assert.Equal([7f, 16], _matrix.MatMul(vector).ToArray<float>());
        Assert.Equal([2], _matrix.MatMul(vector).Shape.ToArray());
        Assert.Equal([9f, 9, 15], TensorData.FromArray(new float[] { 1, 2 }).MatMul(_matrix)[..].ToArray<float>());
        Assert.Equal(5, vector.MatMul(vector).Item<float>());
        Assert.Equal([2, 2], _matrix.MatMul(_matrix.Reshape(3, 2)).Shape.ToArray());
        Assert.Throws<ShapeMismatchException>(() => _matrix.MatMul(_matrix));
    }

    [Fact]
    public void WholeNumbers_StayExact_AndWrapAround()
    {
        TensorData large = TensorData.FromArray(new[] { long.MaxValue - 1, 1 });
        Assert.Equal(long.MaxValue, large.Sum().Item<long>());
        Assert.Equal([long.MaxValue - 1, long.MaxValue], large.CumSum(0).ToArray<long>());
        Assert.Equal(long.MaxValue - 1, large.Max().Item<long>());
        TensorData small = TensorData.FromArray(new sbyte[] { 100, 2 });
        Assert.Equal([-56L, 4], (small * 2).ToArray<long>());
        Assert.Equal((DType.Int8, DType.Float32, DType.Int64),
            ((small * 2).Type, (small * 2.0).Type, (TensorData.Zeros([1], DType.Bool) + 1).Type));
    }

    [Fact]
    public void WhatCannotBe_IsSaid()
    {
        TensorData empty = TensorData.Zeros([2, 0]);
        Assert.Throws<BadProgramException>(() => empty.Max());
        Assert.Throws<BadProgramException>(() => empty.ArgMax(1));
        Assert.Equal(0, empty.Sum().Item<float>());
        Assert.True(double.IsNaN(empty.Mean().Item<double>()));
        Assert.Throws<IndexOutOfRangeException>(() => _matrix.Sum(2));
        Assert.Throws<IndexOutOfRangeException>(() => _matrix.Softmax(-3));
        Assert.Throws<BadProgramException>(() => _matrix.Sum(dim: [0, -2]));
        Assert.Throws<BadProgramException>(() => _matrix.Permute(0));
        Assert.Throws<BadProgramException>(() => TensorData.Stack([]));
        Assert.Throws<ShapeMismatchException>(() => TensorData.Cat([_matrix, _matrix.T()]));
        Assert.Throws<ShapeMismatchException>(() => TensorData.Stack([_matrix, _matrix.T()]));
        Assert.Throws<NotSupportedException>(() => new TensorData(DType.Complex64, [1], new byte[8]).Exp());
    }

    [Fact]
    public void Comparison_OfWholeTensors()
    {
        Assert.True(_matrix.SameAs(_matrix + 0));
        Assert.False(_matrix.SameAs(_matrix.To(DType.Float64)));
        Assert.True(_matrix.AllClose(_matrix + 1e-7));
        Assert.Equal(0.5, _matrix.MaxAbsDifference(_matrix - 0.5), 6);
        TensorData infinite = TensorData.FromArray(new[] { float.PositiveInfinity });
        Assert.True(infinite.AllClose(infinite));
        Assert.Equal(0, infinite.MaxAbsDifference(infinite));
        Assert.Throws<ShapeMismatchException>(() => _matrix.AllClose(TensorData.Zeros([1])));
    }
}
