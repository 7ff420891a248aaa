namespace Ndif.Protocol.Tests.Data;

/// <summary>What PyTorch 2 prints for the same tensors.</summary>
public sealed class TensorDataTextTests
{
    [Fact]
    public void Floats_HaveFourDigits() =>
        Assert.Equal("tensor([[-0.1191, -0.5757]])", TensorData.FromArray(new[] { -0.11911f, -0.57571f }, 1, 2).ToString());

    [Fact]
    public void WholeFloats_HaveAPoint() => Assert.Equal("tensor([1., 2.])", TensorData.FromArray(new float[] { 1, 2 }).ToString());

    [Fact]
    public void FarApart_IsScientific() =>
    Assert.Equal("tensor([1.0000e-05, 1.0000e+00])", TensorData.FromArray(new[] { 1e-5f, 1 }).ToString());

    [Fact]
    public void WholeAndFarApart_IsScientificToo() =>
    Assert.Equal("tensor([1.0000e+00, 1.0000e+04])", TensorData.FromArray(new float[] { 1, 10000 }).ToString());

    [Fact]
    public void Numbers_AreAligned() =>
    Assert.Equal("tensor([  1, -20, 300])", TensorData.FromArray(new long[] { 1, -20, 300 }).ToString());

    [Fact]
    public void Bools_AreAligned() => Assert.Equal("tensor([ True, False])", TensorData.FromArray(new[] { true, false }).ToString());

    [Fact]
    public void OtherTypes_AreNamed() =>
    Assert.Equal("tensor([1.5000], dtype=torch.bfloat16)", TensorData.FromArray(new[] { 1.5f }).To(DType.BFloat16).ToString());

    [Fact]
    public void Scalars_HaveNoBrackets()
    {
        Assert.Equal("tensor(5)", TensorData.Arange(6)[5].ToString());
        Assert.Equal("tensor(2.5000)", TensorData.FromArray(new[] { 2.5f }).Reshape().ToString());
    }

    [Fact]
    public void Empty_HasItsShape()
    {
        Assert.Equal("tensor([])", TensorData.Zeros([0]).ToString());
        Assert.Equal("tensor([], size=(2, 0))", TensorData.Zeros([2, 0]).ToString());
        Assert.Equal("tensor([], dtype=torch.int64)", TensorData.Zeros([0], DType.Int64).ToString());
    }

    [Fact]
    public void Matrices_HaveALineARow() =>
        Assert.Equal("tensor([[0, 1, 2],\n        [3, 4, 5]])", TensorData.Arange(6).Reshape(2, 3).ToString());

    [Fact]
    public void Cubes_HaveEmptyLinesBetween() =>
        Assert.Equal("tensor([[[0, 1]],\n\n        [[2, 3]]])", TensorData.Arange(4).Reshape(2, 1, 2).ToString());

    [Fact]
    public void LongRows_AreBroken() => Assert.Equal(
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n        18, 19, 20, 21, 22, 23, 24])",
        TensorData.Arange(25).ToString());

    [Fact]
    public void Large_IsSummarized()
    {
        Assert.Equal("tensor([   0,    1,    2,  ..., 1998, 1999, 2000])", TensorData.Arange(2001).ToString());
        Assert.Equal(
            "tensor([[   0,    1,    2,  ...,   97,   98,   99],\n" +
            "        [ 100,  101,  102,  ...,  197,  198,  199],\n" +
            "        [ 200,  201,  202,  ...,  297,  298,  299],\n" +
            "        ...,\n" +
            "        [1700, 1701, 1702,  ..., 1797, 1798, 1799],\n" +
            "        [1800, 1801, 1802,  ..., 1897, 1898, 1899],\n" +
            "        [1900, 1901, 1902,  ..., 1997, 1998, 1999]])",
            TensorData.Arange(2000).Reshape(20, 100).ToString());
    }

    [Fact]
    public void NotFinite_IsNamed() =>
        Assert.Equal("tensor([1.5000,    nan,    inf])", TensorData.FromArray(new[] { 1.5f, float.NaN, float.PositiveInfinity })
            .ToString());
}
