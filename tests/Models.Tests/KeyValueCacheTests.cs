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
        cache.SelectRows([2, 0]);
        (Tensor keys, _) = cache.Update(1, ones(2, 2, 1, 4), ones(2, 2, 1, 4));
        Assert.Equal([2, 2, 6, 4], keys.shape);
        Assert.Equal([2f, 0f], keys[.., 0, 0, 0].data<float>().ToArray());
    }

    [Fact]
    public void RowsOfAnotherCache_JoinAndEndInTheSameColumn()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = Filled(1, 5, 1), joining = Filled(2, 3, 2);
        long bytes = cache.ByteCount + joining.ByteCount, tensors = Tensor.TotalCount;
        cache.Append(joining);
        Assert.Equal((5, 0, bytes, tensors), (cache.Length, joining.ByteCount, cache.ByteCount, Tensor.TotalCount));
        (Tensor keys, Tensor values) = cache.Update(0, full([3, 1, 1, 4], 9f), full([3, 1, 1, 4], 9f));
        Assert.Equal([1f, 1f, 1f, 1f, 1f, 9f], keys[0, 0, .., 0].data<float>().ToArray());
        Assert.Equal([0f, 0f, 2f, 2f, 2f, 9f], keys[2, 0, .., 0].data<float>().ToArray());
        Assert.True(keys.Equals(values));
    }

    [Fact]
    public void WhereTheLongestRowHasLeft_TheOthersHaveFewerColumns()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = Filled(1, 200, 1), joining = Filled(1, 3, 2);
        long bytes = joining.ByteCount;
        cache.Append(joining);
        cache.SelectRows([1]);
        cache.SetLength(3);
        Assert.Equal(bytes, cache.ByteCount);
        (Tensor keys, _) = cache.Update(0, full([1, 1, 1, 4], 9f), full([1, 1, 1, 4], 9f));
        Assert.Equal([2f, 2f, 2f, 9f], keys[0, 0, .., 0].data<float>().ToArray());
    }

    [Fact]
    public void SelectRows_CopiesARowThatOccursTwice()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = Filled(1, 3, 1);
        cache.SelectRows([0, 0]);
        Tensor next = arange(2, ScalarType.Float32).view(2, 1, 1, 1).expand(2, 1, 1, 4) + 5;
        (Tensor keys, _) = cache.Update(0, next, next);
        Assert.Equal([1f, 1f, 1f, 5f, 1f, 1f, 1f, 6f], keys[.., 0, .., 0].contiguous().data<float>().ToArray());
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

    [Fact]
    public void TheEncodersTokens_OfRowsThatJoin_ArePaddedToTheLongest()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = Filled(1, 5, 1), joining = Filled(2, 3, 2);
        SetEncoder(cache, 1, 4, 1);
        SetEncoder(joining, 2, 6, 2);
        long bytes = cache.ByteCount + joining.ByteCount;
        cache.Append(joining);
        Assert.Equal(bytes, cache.ByteCount);
        (Tensor keys, Tensor values) = cache.CrossAttention(0)!.Value;                      // [batch, heads, encoderSeq, headDim]
        Assert.Equal([3, 2, 6, 4], keys.shape);
        Assert.Equal([1f, 1f, 1f, 1f, 0f, 0f], keys[0, 1, .., 0].contiguous().data<float>().ToArray());
        Assert.Equal([2f, 2f, 2f, 2f, 2f, 2f], keys[2, 0, .., 3].contiguous().data<float>().ToArray());
        Assert.True(values.Equals(keys * 2));
        (Tensor hidden, Tensor mask) = cache.EncoderOutput()!.Value;
        Assert.Equal([3, 6, 8], hidden.shape);
        Assert.Equal([1L, 1, 1, 1, 0, 0], mask[0].contiguous().data<long>().ToArray());
        Assert.Equal(18 - 2, mask.sum().item<long>());

        cache.SelectRows([0, 0]); // the longer rows leave, the other is copied
        Assert.Equal([2, 2, 4, 4], cache.CrossAttention(0)!.Value.Keys.shape);
        Assert.Equal([2, 4, 8], cache.EncoderOutput()!.Value.HiddenStates.shape);
        Assert.Equal((4 * 4 * 2 * 2 + 4 * 8) * 4 + 4 * 8, cache.StateByteCount / 2);
    }

    [Fact]
    public void TheFirstPass_HasNoKeysOfTheEncoder_AndALayerThatMissedIt_IsAnError()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = new(2);
        Assert.Null(cache.EncoderOutput());
        cache.SetCrossAttention(0, ones(1, 2, 3, 4), ones(1, 2, 3, 4));
        Assert.Null(cache.CrossAttention(0)); // the pass may have been stopped, and begins again
        cache.Advance(1);
        Assert.NotNull(cache.CrossAttention(0));
        NdifException error = Assert.ThrowsAny<NdifException>(() => cache.CrossAttention(1));
        Assert.Contains("Layer 1 did not run in an earlier step", error.Message, StringComparison.Ordinal);
        using KeyValueCache whole = new(2);
        for (int layer = 0; layer < 2; layer++) whole.SetCrossAttention(layer, ones(1, 2, 3, 4), ones(1, 2, 3, 4));
        whole.Advance(1);
        Assert.False(cache.CanAppend(whole));
    }

    [Fact]
    public void RowsThatAreReplaced_BringTheirEncodersTokens()
    {
        using var scope = NewDisposeScope();
        using KeyValueCache cache = Filled(2, 3, 1), other = Filled(1, 3, 5);
        SetEncoder(cache, 2, 2, 1);
        SetEncoder(other, 1, 3, 5);
        cache.ReplaceRows([1], other);
        Assert.Equal([1f, 1f, 0f], cache.CrossAttention(0)!.Value.Keys[0, 0, .., 0].contiguous().data<float>().ToArray());
        Assert.Equal([5f, 5f, 5f], cache.CrossAttention(0)!.Value.Keys[1, 0, .., 0].contiguous().data<float>().ToArray());
    }

    private static void SetEncoder(KeyValueCache cache, int rows, int tokens, float value)
    {
        Tensor key = full([rows, 2, tokens, 4], value);
        cache.SetCrossAttention(0, key, key * 2);
        cache.SetEncoderOutput(full([rows, tokens, 8], value), ones([rows, tokens], ScalarType.Int64));
    }

    /// <summary>A cache of one layer with rows of one head, each filled with the same value.</summary>
    private static KeyValueCache Filled(int rows, int tokens, float value)
    {
        var cache = new KeyValueCache(1);
        Tensor key = full([rows, 1, tokens, 4], value);
        cache.Update(0, key, key);
        cache.Advance(tokens);
        return cache;
    }
}
