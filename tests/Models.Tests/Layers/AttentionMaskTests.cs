using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Layers;

public sealed class AttentionMaskTests
{
    [Fact]
    public void Mask_HidesTheFuturePaddingAndWhatIsBeyondTheWindow()
    {
        using var scope = NewDisposeScope();
        Tensor padding = tensor(new long[,] { { 0, 1, 1, 1, 1 } });                             // [1, kvSeq]
        Tensor mask = AttentionMask.Causal(padding, 3, ScalarType.Float32, window: 3) == 0;     // [1, 1, seq, kvSeq]
        Assert.Equal([1, 1, 3, 5], mask.shape);
        Assert.Equal("01100 01110 00111", string.Join(' ', Enumerable.Range(0, 3).Select(i =>
            string.Concat(mask[0, 0, i].data<bool>().ToArray().Select(visible => visible ? '1' : '0')))));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ATokenThatMayAttendToNothing_GetsNumbers(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        Tensor mask = AttentionMask.Causal(zeros([1, 4], ScalarType.Int64), 4, dtype);
        Tensor query = full([1, 2, 4, 8], -6.0, dtype), key = full([1, 2, 4, 8], 6.0, dtype);   // scores of -288
        (Tensor output, Tensor probabilities) = EagerAttention.Forward(query, key, key, mask, 1.0);
        Assert.True(output.isfinite().all().item<bool>());
        Assert.Equal(0.25f, probabilities.to(ScalarType.Float32).mean().item<float>(), 3);
    }
}
