using static TorchSharp.torch;

namespace Ndif.Models.Tests;

public sealed class KeyValueCacheTests
{
    [Fact]
    public void Cache_GrowsPastItsCapacity_AndKeepsEverything()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = new(1);
        List<Tensor> all = [];
        for (int step = 0; step < 150; step++)
        {
            Tensor key = full([2, 1, 1, 4], (float)step);       // [batch, heads, seq, headDim]
            all.Add(key);
            (Tensor keys, Tensor values) = cache.Update(0, key, key * 2);
            cache.Advance(1);
            if (step % 50 != 49) continue;
            Assert.True(keys.Equals(cat(all, 2)));
            Assert.True(values.Equals(cat(all, 2) * 2));
        }
        Assert.Equal(150, cache.Length);
    }

    [Fact]
    public void SelectRows_LetsFinishedRowsLeave()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = new(2);
        Tensor key = arange(3, ScalarType.Float32).view(3, 1, 1, 1).expand(3, 2, 5, 4);     // [batch, heads, seq, headDim]
        for (int layer = 0; layer < 2; layer++) cache.Update(layer, key, key);
        cache.Advance(5);
        cache.SelectRows(tensor(new long[] { 2, 0 }));
        (Tensor keys, _) = cache.Update(1, ones(2, 2, 1, 4), ones(2, 2, 1, 4));
        Assert.Equal([2, 2, 6, 4], keys.shape);
        Assert.Equal([2f, 0f], keys[.., 0, 0, 0].data<float>().ToArray());
    }

    [Fact]
    public void ALayerThatMissedAStep_IsAnError()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = new(2);
        Tensor key = ones(1, 1, 3, 4);
        cache.Update(0, key, key);
        cache.Advance(3);
        NdifException error = Assert.ThrowsAny<NdifException>(() => cache.Update(1, ones(1, 1, 1, 4), ones(1, 1, 1, 4)));
        Assert.Contains("Layer 1 did not run in an earlier step", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APassThatWasStopped_IsOverwrittenByTheNext()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = new(1);
        cache.Update(0, zeros(1, 1, 3, 4), zeros(1, 1, 3, 4));
        cache.Advance(3);
        cache.Update(0, ones(1, 1, 2, 4), ones(1, 1, 2, 4)); // without a call of Advance
        (Tensor keys, _) = cache.Update(0, ones(1, 1, 1, 4) * 2, ones(1, 1, 1, 4));
        Assert.Equal([0f, 0f, 0f, 2f], keys[0, 0, .., 0].data<float>().ToArray());
    }

    [Fact]
    public void Dispose_FreesEveryTensor()
    {
        long before = Tensor.TotalCount;
        using (NewDisposeScope())
        {
            KeyValueCache cache = new(1);
            cache.Update(0, ones(1, 1, 70, 4), ones(1, 1, 70, 4));
            cache.Advance(70);
            cache.Update(0, ones(1, 1, 70, 4), ones(1, 1, 70, 4));
            cache.Dispose();
            cache.Dispose();
        }
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
    }
}
