using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels.Costs;

/// <summary>A product or a reduction over an empty dimension has elements, and they count although its arguments have none.</summary>
public sealed class EmptyArgumentTests
{
    private const long Most = 32 << 20;

    static EmptyArgumentTests() => NativeTorch.Initialize();

    /// <summary>Each result has at least 100 MB.</summary>
    [Theory]
    [InlineData("cdist")]
    [InlineData("inner")]
    [InlineData("tensordot")]
    [InlineData("mm")]
    [InlineData("linear")]
    [InlineData("einsum")]
    [InlineData("attention")]
    [InlineData("sum")]
    [InlineData("prod")]
    [InlineData("view")]
    [InlineData("linalg_matrix_norm")]
    [InlineData("pairwise_distance")]
    [InlineData("cosine_similarity")]
    [InlineData("cross_entropy")]
    [InlineData("linalg_lstsq")]
    [InlineData("linalg_svd")]
    [InlineData("diag_embed")]
    [InlineData("new_full")]
    [InlineData("pad")]
    [InlineData("repeat_interleave")]
    public void AResultOfEmptyArguments_Counts(string op)
    {
        using var scope = NewDisposeScope();
        Tensor rows = zeros(6_000, 0), many = zeros(30_000_000, 0);
        var none = new List<object?> { -1L };
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => op switch
        {
            "cdist" or "inner" or "linear" => Run(op, rows, rows),
            "tensordot" => Run(op, rows, rows, new List<object?> { none, none }),
            "mm" => Run(op, rows, rows.t()),
            "einsum" => Run(op, "ij,kj->ik", new List<object?> { rows, rows }),
            "attention" => Run("scaled_dot_product_attention", zeros(500_000, 0), zeros(1, 0), zeros(1, 64)),
            "sum" => Run(op, many, none),
            "prod" => Run(op, many, -1L),
            "view" => Run("sum", Run(op, zeros(0), new List<object?> { 20_000_000_000L, 0L }), none),
            "linalg_matrix_norm" => Run(op, zeros(30_000_000, 0, 3), "fro", new List<object?> { -2L, -1L }),
            "pairwise_distance" => Run(op, many, many),
            "cosine_similarity" => Run(op, many, many, 1L),
            "cross_entropy" => Run(op, many, full([1], -100, ScalarType.Int64).expand(30_000_000),
                new Dictionary<string, object?> { ["reduction"] = "none" }),
            "linalg_lstsq" => Run(op, rows.t(), rows.t()),
            "linalg_svd" => Run(op, rows, true),
            "diag_embed" => Run(op, zeros(0), 6_000L),
            "new_full" => Run(op, zeros(0), new List<object?> { 30_000_000L }, 1.5),
            "pad" => Run(op, many, new List<object?> { 0L, 1L }),
            _ => Run(op, rows, 100_000L, 0L),
        });
        Assert.Contains(thrown.Code, new[] { ErrorCode.OutOfMemory, ErrorCode.LimitExceeded });
    }

    /// <summary>libtorch makes the positions of the sorted dimension, 3.2 GB, also of no rows.</summary>
    [Theory]
    [InlineData("sort")]
    [InlineData("argsort")]
    public async Task ASortOfNoRows_TakesNoMemory(string op)
    {
        long before = Environment.WorkingSet, peak = 0;
        Task<long[]> shape = Task.Run(() =>
        {
            using var scope = NewDisposeScope();
            object? result = Run(op, zeros(0, 400_000_000, ScalarType.Bool), -1L);
            return ((result as object?[])?[1] as Tensor ?? (Tensor)result!).shape;
        });
        while (!shape.IsCompleted)
        {
            peak = Math.Max(peak, Environment.WorkingSet - before);
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
        long[] found = await shape;
        Assert.Equal([0, 400_000_000], found);
        Assert.InRange(peak, 0, 500 << 20);
    }

    /// <summary>libtorch's fused kernel divides by these sizes, which would end the process.</summary>
    [Theory]
    [InlineData(0, 2, 3, 3)]
    [InlineData(2, 0, 3, 3)]
    [InlineData(2, 2, 0, 3)]
    [InlineData(2, 2, 3, 0)]
    public void AttentionOfEmptyArguments_IsEmpty_OrZero(long batch, long heads, long queries, long keys)
    {
        using var scope = NewDisposeScope();
        Tensor query = ones(batch, heads, queries, 4), key = ones(batch, heads, keys, 4);
        foreach (bool causal in (bool[])[false, true])
        {
            var result = (Tensor)Run("scaled_dot_product_attention", query, key, key, null, 0.0, causal)!;
            Assert.Equal([batch, heads, queries, 4], result.shape);
            Assert.Equal(0, result.sum().item<float>());
        }
    }

    /// <summary>The shapes of such arguments could be broadcast to a tensor that is too large, but the operations do not do that.</summary>
    [Theory]
    [InlineData("matmul")]
    [InlineData("mm")]
    [InlineData("index_select")]
    [InlineData("embedding")]
    [InlineData("searchsorted")]
    [InlineData("bucketize")]
    [InlineData("isin")]
    public void ArgumentsThatAreNotBroadcast_MayBeLongInTwoDimensions(string op)
    {
        using var scope = NewDisposeScope();
        const int length = 131_072;
        Tensor column = ones(length, 1), positions = zeros(length, ScalarType.Int64), row = ones(1, length);
        object? result = op switch
        {
            "index_select" => Run(op, column, 0L, positions),
            "embedding" => Run(op, positions, column),
            "searchsorted" => Run(op, ones(length), column),
            "bucketize" or "isin" => Run(op, column, ones(length)),
            _ => Run(op, row, column),
        };
        Assert.Equal(op is "matmul" or "mm" ? 1 : length, ((Tensor)result!).numel());
    }

    /// <summary>The strides of such a result would overflow.</summary>
    [Fact]
    public void AnEmptyBroadcast_OfTooLargeDimensions_IsRefused()
    {
        using var scope = NewDisposeScope();
        const long Side = 1 << 20;
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => Run("add", zeros(0, Side, 1), zeros(1, 1, Side)));
        Assert.Equal(ErrorCode.LimitExceeded, thrown.Code);
    }

    [Theory]
    [InlineData("cdist")]
    [InlineData("inner")]
    [InlineData("linear")]
    [InlineData("mm")]
    public void SmallOnes_AreZeros(string op)
    {
        using var scope = NewDisposeScope();
        Tensor right = op == "mm" ? zeros(0, 3) : zeros(3, 0);
        foreach (bool dividesAll in (bool[])[false, true])
        {
            var result = (Tensor)Run(op, [zeros(2, 0), right], dividesAll)!;
            Assert.Equal([2L, 3L], result.shape);
            Assert.Equal(0, result.abs().sum().item<float>());
        }
    }

    /// <summary>The argument that is added to a product has its shape at most, as in PyTorch: it may not repeat the product.</summary>
    [Fact]
    public void AddMm_DoesNotBroadcastTheProduct()
    {
        using var scope = NewDisposeScope();
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => Run("addmm", zeros(40, 1, 1), zeros(3, 2), zeros(2, 3)));
        Assert.Equal(ErrorCode.ShapeMismatch, thrown.Code);
        Assert.Equal([3L, 3L], ((Tensor)Run("addmm", zeros(1, 3), zeros(3, 2), zeros(2, 3))!).shape);
    }

    private static object? Run(string op, params object?[] arguments) => Run(op, arguments, dividesAll: false);

    /// <param name="arguments">Keywords are the last one, a dictionary.</param>
    private static object? Run(string op, object?[] arguments, bool dividesAll)
    {
        OpSchema schema = OpTable.Get(op);
        object?[] bound = arguments is [.. var positional, Dictionary<string, object?> keywords]
            ? ArgumentBinder.Bind(schema, positional, keywords) : ArgumentBinder.Bind(schema, arguments);
        var context = new KernelContext
        {
            Limits = new OperationLimits { MaxBytes = Most, FreeBytes = () => Most, DividesAll = dividesAll },
        };
        return KernelTable.Run(schema, bound, context);
    }
}
