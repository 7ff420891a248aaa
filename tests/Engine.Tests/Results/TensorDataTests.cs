using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Tests.Results;

/// <summary>
/// What the client computes on results, against libtorch: random shapes, with empty dimensions and without any, element types and
/// dimensions. Types and shapes are the same, and elements within the rounding of their type.
/// </summary>
public sealed class TensorDataTests
{
    private const int Repetitions = 150;

    private static readonly DType[] _reals = [DType.Float32, DType.Float64, DType.Float16, DType.BFloat16];
    private static readonly DType[] _numbers = [.. _reals, DType.Int64, DType.Int32, DType.Int16, DType.Int8, DType.UInt8];
    private static readonly DType[] _all = [.. _numbers, DType.Bool];

    /// <summary>Element by element, of each type that libtorch has the function for.</summary>
    private static readonly Dictionary<string, (DType[] Types, Func<TensorData, TensorData> Ours, Func<Tensor, Tensor> Theirs)>
        _elementwise = new()
        {
            ["exp"] = (_all, x => x.Exp(), x => x.exp()),
            ["log"] = (_all, x => x.Log(), x => x.log()),
            ["sqrt"] = (_all, x => x.Sqrt(), x => x.sqrt()),
            ["abs"] = (_numbers, x => x.Abs(), x => x.abs()),
            ["neg"] = (_numbers, x => -x, x => x.neg()),
            ["pow"] = (_reals, x => x.Pow(2.5), x => x.pow(2.5)),
            ["x + 1.5"] = (_all, x => x + 1.5, x => x + 1.5),
            ["x * 3"] = (_all, x => x * 3, x => x * 3L),
            ["2 - x"] = (_numbers, x => 2 - x, x => 2L - x),
            ["1 / x"] = (_reals, x => 1.0 / x, x => 1.0 / x),
            ["x / 4"] = (_all, x => x / 4, x => x / 4.0),
            ["sum"] = (_all, x => x.Sum(), x => x.sum()),
            ["mean"] = (_reals, x => x.Mean(), x => x.mean()),
            ["var"] = (_reals, x => x.Var(), x => x.var(true)),
            ["std"] = (_reals, x => x.Std(correction: 0), x => x.std(false)),
            ["norm"] = (_reals, x => x.Norm(), x => x.norm()),
            ["t"] = (_all, x => x.Shape.Length > 2 ? x : x.T(), x => x.dim() > 2 ? x.alias() : x.t()),
            ["squeeze"] = (_all, x => x.Squeeze(), x => x.squeeze()),
            ["flatten"] = (_all, x => x.Flatten(), x => x.flatten()),
        };

    /// <summary>Along a dimension.</summary>
    private static readonly Dictionary<string, (DType[] Types, bool NeedsElements, Func<TensorData, int, bool, TensorData> Ours,
        Func<Tensor, int, bool, Tensor> Theirs)> _alongDimension = new()
        {
            ["sum"] = (_all, false, (x, dim, keep) => x.Sum(dim, keep), (x, dim, keep) => x.sum(dim, keep)),
            ["mean"] = (_reals, false, (x, dim, keep) => x.Mean(dim, keep), (x, dim, keep) => x.mean([dim], keep)),
            ["var"] = (_reals, false, (x, dim, keep) => x.Var(dim, 1, keep), (x, dim, keep) => x.var([dim], true, keep)),
            ["std"] = (_reals, false, (x, dim, keep) => x.Std(dim, 0, keep), (x, dim, keep) => x.std([dim], false, keep)),
            ["norm 2"] = (_reals, false, (x, dim, keep) => x.Norm(2, dim, keep), (x, dim, keep) => x.norm(dim, keep)),
            ["norm 1"] = (_reals, false, (x, dim, keep) => x.Norm(1, dim, keep), (x, dim, keep) => x.norm(dim, keep, 1)),
            ["norm 3"] = (_reals, false, (x, dim, keep) => x.Norm(3, dim, keep), (x, dim, keep) => x.norm(dim, keep, 3)),
            ["norm 0"] = (_reals, false, (x, dim, keep) => x.Norm(0, dim, keep), (x, dim, keep) => x.norm(dim, keep, 0)),
            ["norm inf"] = (_reals, true, (x, dim, keep) => x.Norm(double.PositiveInfinity, dim, keep),
                (x, dim, keep) => x.norm(dim, keep, float.PositiveInfinity)),
            ["norm -inf"] = (_reals, true, (x, dim, keep) => x.Norm(double.NegativeInfinity, dim, keep),
                (x, dim, keep) => x.norm(dim, keep, float.NegativeInfinity)),
            ["logsumexp"] = (_reals, false, (x, dim, keep) => x.LogSumExp(dim, keep), (x, dim, keep) => x.logsumexp(dim, keep)),
            ["amax"] = (_all, true, (x, dim, keep) => x.Amax(dim, keep), (x, dim, keep) => x.amax([dim], keep)),
            ["amin"] = (_all, true, (x, dim, keep) => x.Amin(dim, keep), (x, dim, keep) => x.amin([dim], keep)),
            ["max"] = (_all, true, (x, dim, keep) => x.Max(dim, keep).Values, (x, dim, keep) => x.max(dim, keep).values),
            ["argmax"] = (_numbers, true, (x, dim, keep) => x.ArgMax(dim, keep), (x, dim, keep) => x.argmax(dim, keep)),
            ["argmin"] = (_numbers, true, (x, dim, keep) => x.ArgMin(dim, keep), (x, dim, keep) => x.argmin(dim, keep)),
            ["softmax"] = (_reals, false, (x, dim, _) => x.Softmax(dim), (x, dim, _) => x.softmax(dim)),
            ["log_softmax"] = (_reals, false, (x, dim, _) => x.LogSoftmax(dim), (x, dim, _) => x.log_softmax(dim)),
            ["cumsum"] = (_all, false, (x, dim, _) => x.CumSum(dim), (x, dim, _) => x.cumsum(dim)),
            ["topk"] = (_numbers, true, (x, dim, _) => x.TopK(1, dim).Values, (x, dim, _) => x.topk(1, dim).values),
            ["topk smallest"] = (_numbers, true, (x, dim, _) => x.TopK(1, dim, largest: false).Values,
                (x, dim, _) => x.topk(1, dim, largest: false).values),
            ["unsqueeze"] = (_all, false, (x, dim, _) => x.Unsqueeze(dim), (x, dim, _) => x.unsqueeze(dim)),
            ["squeeze"] = (_all, false, (x, dim, _) => x.Squeeze(dim), (x, dim, _) => x.squeeze(dim)),
        };

    public static TheoryData<string> Elementwise => [.. _elementwise.Keys];

    public static TheoryData<string> AlongDimension => [.. _alongDimension.Keys];

    [Theory, MemberData(nameof(Elementwise))]
    public void AFunctionOfElements_IsLibtorchs(string name)
    {
        var (types, ours, theirs) = _elementwise[name];
        var random = new Random(1);
        for (int i = 0; i < Repetitions; i++)
        {
            TensorData x = RandomTensor(random, types[random.Next(types.Length)], RandomShape(random));
            AssertSame(x, theirs, ours(x), name);
        }
    }

    [Theory, MemberData(nameof(AlongDimension))]
    public void AFunctionAlongADimension_IsLibtorchs(string name)
    {
        var (types, needsElements, ours, theirs) = _alongDimension[name];
        var random = new Random(2);
        for (int i = 0; i < Repetitions; i++)
        {
            long[] shape = RandomShape(random);
            int rank = Math.Max(1, shape.Length), dim = random.Next(-rank, rank);
            if (needsElements && shape.Length > 0 && shape[(dim + rank) % rank] == 0) continue;
            bool keep = random.Next(2) == 0;
            TensorData x = RandomTensor(random, types[random.Next(types.Length)], shape);
            AssertSame(x, tensor => theirs(tensor, dim, keep), ours(x, dim, keep), $"{name} along {dim}, keepdim {keep}");
        }
    }

    [Fact]
    public void SeveralDimensions_AreReducedTogether()
    {
        var random = new Random(3);
        for (int i = 0; i < Repetitions; i++)
        {
            long[] shape = [.. Enumerable.Range(0, random.Next(2, 5)).Select(_ => (long)random.Next(0, 4))];
            int[] dims = [.. Enumerable.Range(0, shape.Length).OrderBy(_ => random.Next()).Take(2)];
            long[] torchDims = [.. dims.Select(dim => (long)dim)];
            bool keep = random.Next(2) == 0;
            TensorData x = RandomTensor(random, _reals[random.Next(_reals.Length)], shape);
            AssertSame(x, tensor => tensor.sum(torchDims, keep), x.Sum(dims, keep), $"sum over {string.Join(",", dims)}");
            AssertSame(x, tensor => tensor.mean(torchDims, keep), x.Mean(dims, keep), $"mean over {string.Join(",", dims)}");
            AssertSame(x, tensor => tensor.permute([.. torchDims, .. Rest(shape.Length, dims)]),
                x.Permute([.. dims, .. Rest(shape.Length, dims).Select(dim => (int)dim)]), "permute");
            AssertSame(x, tensor => tensor.transpose(dims[0], dims[1]), x.Transpose(dims[0], dims[1]), "transpose");
        }

        static IEnumerable<long> Rest(int rank, int[] dims) => Enumerable.Range(0, rank).Except(dims).Select(dim => (long)dim);
    }

    [Fact]
    public void Arithmetic_BroadcastsAndPromotes_AsLibtorchDoes()
    {
        var random = new Random(4);
        for (int i = 0; i < 600; i++)
        {
            long[] shape = RandomShape(random);
            TensorData a = RandomTensor(random, _numbers[random.Next(_numbers.Length)], Narrow(shape));
            TensorData b = RandomTensor(random, _all[random.Next(_all.Length)], Narrow(shape));
            using var scope = NewDisposeScope();
            (Tensor x, Tensor y) = (a.ToTorch(), b.ToTorch());
            string what = $"{a.Type} [{string.Join(",", a.Shape.ToArray())}] and {b.Type} [{string.Join(",", b.Shape.ToArray())}]";
            AssertSame(x + y, a + b, what);
            if (b.Type is not DType.Bool) AssertSame(x - y, a - b, what); // libtorch refuses to subtract flags
            AssertSame(x * y, a * b, what);
            AssertSame(x / y, a / b, what);
        }

        // some sizes become 1, and some leading dimensions are left out
        long[] Narrow(long[] shape) => [.. shape.Skip(random.Next(shape.Length + 1)).Select(size => random.Next(3) == 0 ? 1 : size)];
    }

    [Fact]
    public void Joins_AreLibtorchs()
    {
        var random = new Random(5);
        for (int i = 0; i < Repetitions; i++)
        {
            long[] shape = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (long)random.Next(0, 4))];
            int dim = random.Next(-shape.Length, shape.Length);
            TensorData[] parts = [.. Enumerable.Range(0, 3).Select(_ => RandomTensor(random, _all[random.Next(_all.Length)], shape))];
            using var scope = NewDisposeScope();
            Tensor[] tensors = [.. parts.Select(part => part.ToTorch())];
            if (parts.All(part => part.Shape.Length > 1 || part.Count > 0)) // libtorch leaves [0] out of every join
                AssertSame(cat(tensors, dim), TensorData.Cat(parts, dim), "cat");
            AssertSame(stack(tensors, dim), TensorData.Stack(parts, dim), "stack");
        }
    }

    [Fact]
    public void MatrixProducts_AreLibtorchs()
    {
        var random = new Random(6);
        DType[] types = [DType.Float32, DType.Float64, DType.Int64, DType.BFloat16];
        for (int i = 0; i < 300; i++)
        {
            long[] batch = RandomShape(random);
            (long rows, long inner, long columns) = (random.Next(0, 5), random.Next(0, 6), random.Next(0, 5));
            long[] left = random.Next(4) == 0 ? [inner] : [.. batch.Skip(random.Next(batch.Length + 1)), rows, inner];
            long[] right = random.Next(4) == 0 ? [inner] : [.. batch.Select(size => random.Next(3) == 0 ? 1 : size), inner, columns];
            DType type = types[random.Next(types.Length)];
            (TensorData a, TensorData b) = (RandomTensor(random, type, left), RandomTensor(random, type, right));
            using var scope = NewDisposeScope();
            AssertSame(a.ToTorch().matmul(b.ToTorch()), a.MatMul(b), $"[{string.Join(",", left)}] @ [{string.Join(",", right)}]");
        }
    }

    [Fact]
    public void TopK_HasTheIndicesOfItsValues()
    {
        var random = new Random(7);
        for (int i = 0; i < Repetitions; i++)
        {
            long[] shape = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (long)random.Next(1, 6))];
            int dim = random.Next(-shape.Length, shape.Length), k = random.Next((int)shape[(dim + shape.Length) % shape.Length] + 1);
            bool largest = random.Next(2) == 0;
            TensorData x = RandomTensor(random, _reals[random.Next(_reals.Length)], shape);
            (TensorData values, TensorData indices) = x.TopK(k, dim, largest);
            AssertSame(x, tensor => tensor.topk(k, dim, largest).values, values, $"top {k} along {dim}");
            AssertSame(x, tensor => tensor.gather(dim, indices.ToTorch()), values, $"indices of top {k} along {dim}");
        }
    }

    [Fact]
    public void Conversions_AreLibtorchs()
    {
        var random = new Random(8);
        foreach (DType from in _all)
        {
            foreach (DType to in _all)
            {
                TensorData x = RandomTensor(random, from, [3, 7]);
                if (to is DType.UInt8 && from is not DType.Bool) x = x.Abs(); // a negative number has no place there
                AssertSame(x, tensor => tensor.to(Ndif.Models.TorchTypes.ToTorch(to)), x.To(to), $"{from} to {to}");
            }
        }
    }

    private static long[] RandomShape(Random random) =>
        [.. Enumerable.Range(0, random.Next(0, 4)).Select(_ => (long)(random.Next(12) == 0 ? 0 : random.Next(1, 6)))];

    private static TensorData RandomTensor(Random random, DType type, long[] shape)
    {
        var values = new double[shape.Aggregate(1L, (product, size) => product * size)];
        for (int i = 0; i < values.Length; i++)
            values[i] = type.IsFloatingPoint() ? random.Next(30) == 0 ? 0 : (random.NextDouble() - 0.4) * 8
                : random.Next(type is DType.UInt8 or DType.Bool ? 0 : -5, 6);
        return TensorData.FromArray(values, values.Length).Reshape(shape).To(type);
    }

    private static void AssertSame(TensorData x, Func<Tensor, Tensor> theirs, TensorData ours, string what)
    {
        using var scope = NewDisposeScope();
        AssertSame(theirs(x.ToTorch()), ours, $"{what} of {x.Type} [{string.Join(", ", x.Shape.ToArray())}]");
    }

    private static void AssertSame(Tensor theirs, TensorData ours, string what)
    {
        TensorData expected = theirs.ToData();
        Assert.True(expected.Type == ours.Type, $"{what} is {ours.Type}, not {expected.Type}");
        Assert.True(expected.Shape.SequenceEqual(ours.Shape),
            $"{what} is [{string.Join(", ", ours.Shape.ToArray())}], not [{string.Join(", ", expected.Shape.ToArray())}]");
        double tolerance = ours.Type switch { DType.BFloat16 => 1.6e-2, DType.Float16 => 2e-3, DType.Float64 => 1e-12, _ => 2e-6 };
        double[] right = expected.ToArray<double>(), left = ours.ToArray<double>();
        for (int i = 0; i < left.Length; i++)
            Assert.True(left[i].Equals(right[i]) || Math.Abs(left[i] - right[i]) <= tolerance * Math.Max(1, Math.Abs(right[i])),
                $"{what}: element {i} is {left[i]}, not {right[i]}");
    }
}
