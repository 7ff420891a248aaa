using System.Diagnostics;
using Ndif.Engine.Kernels;
using Ndif.Models;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>
/// kthvalue and median of long rows are what libtorch's quickselect gives, and take no longer for any order.
/// </summary>
public sealed class OrderStatisticTests
{
    static OrderStatisticTests() => NativeTorch.Initialize();

    [Theory]
    [InlineData(ScalarType.Float32, -1, false)]
    [InlineData(ScalarType.Float32, 0, true)]
    [InlineData(ScalarType.Float16, 1, false)]
    [InlineData(ScalarType.BFloat16, 1, true)]
    [InlineData(ScalarType.Float64, 0, false)]
    [InlineData(ScalarType.Int64, 1, false)]
    [InlineData(ScalarType.Byte, 1, true)] // with many equal values
    public void KthValue_OfLongRows_IsThatOfLibtorch(ScalarType type, long dim, bool keepdim)
    {
        using var scope = NewDisposeScope();
        random.manual_seed(4);
        Tensor self = dim == 0 ? randn(5_000, 3) : randn(3, 5_000);
        self = (self * 40 + 120).to(type);
        if (self.is_floating_point()) self.narrow(dim == 0 ? 0 : 1, 7, 20).fill_(double.NaN); // the largest
        foreach (long k in (long[])[1, 2, 2_500, 4_970, 5_000])
        {
            (Tensor expected, _) = self.kthvalue(k, dim, keepdim);
            var actual = (object?[])Run("kthvalue", self, k, dim, keepdim)!;
            Tensor values = (Tensor)actual[0]!, indices = (Tensor)actual[1]!;
            Assert.Equal(expected.shape, values.shape);
            Assert.Equal(expected.shape, indices.shape);
            Assert.True(AreEqual(expected, values), $"{k}");
            // the index is that of an equal value
            Tensor found = keepdim ? self.gather(dim, indices) : self.gather(dim, indices.unsqueeze(dim)).squeeze(dim);
            Assert.True(AreEqual(found, values), $"{k}");
        }

        // NaNs have several representations
        static bool AreEqual(Tensor left, Tensor right) => left.shape.SequenceEqual(right.shape)
            && left.nan_to_num().contiguous().bytes.SequenceEqual(right.nan_to_num().contiguous().bytes)
            && left.isnan().equal(right.isnan()).all().item<bool>();
    }

    [Fact]
    public void Median_OfLongRows_IsTheLowerMiddle_OrNaN()
    {
        using var scope = NewDisposeScope();
        Tensor self = stack([arange(6_000, dtype: ScalarType.Float32).flip(0), arange(6_000, dtype: ScalarType.Float32)]);
        self[1, 17] = double.NaN;
        var result = (object?[])Run("median", self, 1L, false)!;
        Tensor values = (Tensor)result[0]!, indices = (Tensor)result[1]!;
        Assert.Equal(2_999, values[0].item<float>());
        Assert.Equal(3_000, indices[0].item<long>());
        Assert.True(float.IsNaN(values[1].item<float>()));
        Assert.Equal(17, indices[1].item<long>());
    }

    [Fact]
    public void TheGradient_OfALongRow_IsOneAtTheValue()
    {
        using var scope = NewDisposeScope();
        Tensor self = randn(2, 5_000).requires_grad_();
        var result = (object?[])Run("kthvalue", self, 1_000L, 1L, false)!;
        ((Tensor)result[0]!).sum().backward();
        Tensor expected = zeros(2, 5_000).scatter(1, ((Tensor)result[1]!).unsqueeze(1), ones(2, 1));
        Assert.True(expected.equal(self.grad!).all().item<bool>());
    }

    [Fact]
    public void APositionOutOfRange_IsRefused()
    {
        using var scope = NewDisposeScope();
        foreach (long k in (long[])[0, 5_001])
            Assert.ThrowsAny<IndexOutOfRangeException>(() => Run("kthvalue", randn(5_000), k, 0L, false));
    }

    /// <summary>A row that is chosen for libtorch's quickselect takes it a thousand times as long as a random one.</summary>
    [Theory]
    [InlineData(12_000)]
    [InlineData(4_000)]
    public void NoOrderOfTheValues_IsSlow(int count)
    {
        const int Rows = 16, Runs = 3;
        using var scope = NewDisposeScope();
        Tensor chosen = tensor(ChosenRow(count, count - 2)).expand(Rows, count);
        Tensor drawn = randperm(count, ScalarType.Float32).expand(Rows, count);
        double slow = double.MaxValue, fast = double.MaxValue;
        for (int run = 0; run < Runs; run++) // in turn, so that a busy machine slows both
            (slow, fast) = (Math.Min(slow, Time(chosen)), Math.Min(fast, Time(drawn)));
        Assert.True(slow < 40 * fast, $"{slow} s, and {fast} s for drawn values");

        double Time(Tensor self)
        {
            long start = Stopwatch.GetTimestamp();
            Run("kthvalue", self, count - 1L, 1L, false);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }

    /// <summary>
    /// A row for which every pivot of the quickselect is one of the smallest values that are left: the values are decided while it
    /// compares (McIlroy, A Killer Adversary for Quicksort, 1999).
    /// </summary>
    internal static float[] ChosenRow(int count, int k)
    {
        var values = new float[count];
        Array.Fill(values, count); // undecided, and larger than any other
        int[] at = [.. Enumerable.Range(0, count)];
        int decided = 0, candidate = 0;
        for (int left = 0, right = count - 1; right > left + 1;)
        {
            Swap((left + right) >> 1, left + 1);
            if (IsGreater(left + 1, right)) Swap(left + 1, right);
            if (IsGreater(left, right)) Swap(left, right);
            if (IsGreater(left + 1, left)) Swap(left + 1, left);
            int i = left + 1, j = right;
            while (true)
            {
                do i++; while (IsGreater(left, i));
                do j--; while (IsGreater(j, left));
                if (j < i) break;
                Swap(i, j);
            }
            Swap(left, j);
            if (j <= k) left = i;
            if (j >= k) right = j - 1;
        }
        return values;

        void Swap(int i, int j) => (at[i], at[j]) = (at[j], at[i]);

        bool IsGreater(int i, int j)
        {
            (int x, int y) = (at[i], at[j]);
            if (values[x] == count && values[y] == count) values[x == candidate ? x : y] = decided++;
            if (values[x] == count) candidate = x;
            else if (values[y] == count) candidate = y;
            return values[x] > values[y];
        }
    }

    private static object? Run(string op, params object?[] arguments)
    {
        OpSchema schema = OpTable.Get(op);
        return KernelTable.Run(schema, ArgumentBinder.Bind(schema, arguments), new KernelContext());
    }
}
