namespace Ndif.Protocol.Tests.Data;

public sealed class TensorDataIndexingTests
{
    private static readonly TensorData _cube = TensorData.Arange(24).Reshape(2, 3, 4);

    [Fact]
    public void Numbers_TakeDimensionsAway()
    {
        Assert.Equal(23, _cube[1, ^1, 3].Item<long>());
        Assert.Equal(0, _cube[0, 0, 0].Shape.Length);
        Assert.Equal([20L, 21, 22, 23], _cube[^1, ^1].ToArray<long>());
    }

    [Fact]
    public void Ranges_KeepThem()
    {
        Assert.Equal([3L, 7, 11, 15, 19, 23], _cube[.., .., ^1].ToArray<long>());
        Assert.Equal([2, 3], _cube[.., .., ^1].Shape.ToArray());
        Assert.Equal([5L, 6], _cube[0, 1, 1..3].ToArray<long>());
        Assert.Equal([4L, 5, 6, 7, 8, 9, 10, 11], _cube[0, 1..].ToArray<long>());
        Assert.Equal([0L, 2], _cube[0, 0, Idx.Step(null, null, 2)].ToArray<long>());
        Assert.Equal([1, 3, 0], _cube[..1, .., 2..1].Shape.ToArray());
        Assert.Equal([2, 3, 4], _cube[..100].Shape.ToArray());
    }

    [Fact]
    public void Ellipsis_NewAxes_AndLists()
    {
        Assert.Equal([3L, 7, 11, 15, 19, 23], _cube[Idx.Ellipsis, 3].ToArray<long>());
        Assert.Equal([2, 1, 3, 4], _cube[.., Idx.NewAxis].Shape.ToArray());
        Assert.Equal([2, 3, 4, 1], _cube[Idx.Ellipsis, Idx.NewAxis].Shape.ToArray());
        Assert.Equal([8L, 0], _cube[0, new[] { 2, 0 }, 0].ToArray<long>());
        Assert.Equal([3L, 0], _cube[0, 0, TensorData.FromArray(new long[] { -1, 0 })].ToArray<long>());
    }

    [Fact]
    public void OutOfBounds_IsPyTorchsSentence()
    {
        Assert.Equal("index 10 is out of bounds for dimension 1 with size 3",
            Assert.Throws<IndexOutOfRangeException>(() => _cube[.., 10]).Message);
        Assert.Equal("index -3 is out of bounds for dimension 0 with size 2",
            Assert.Throws<IndexOutOfRangeException>(() => _cube[^3]).Message);
        Assert.Equal("too many indices for tensor of dimension 3",
            Assert.Throws<IndexOutOfRangeException>(() => _cube[0, 0, 0, 0]).Message);
        Assert.Throws<ArgumentException>(() => _cube[Idx.Step(null, null, -1)]);
    }

    [Fact]
    public void Reshape_InfersOneSize()
    {
        Assert.Equal([6, 4], _cube.Reshape(-1, 4).Shape.ToArray());
        Assert.Throws<ArgumentException>(() => _cube.Reshape(5, -1));
        Assert.Throws<ArgumentException>(() => _cube.Reshape(7));
    }
}
