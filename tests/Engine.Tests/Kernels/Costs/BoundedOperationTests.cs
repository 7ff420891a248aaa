using System.Diagnostics;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels.Costs;

/// <summary>Operations that would take too much are refused before they allocate anything, and long ones can be cancelled.</summary>
public sealed class BoundedOperationTests
{
    private const long Most = 256 << 20;

    static BoundedOperationTests() => NativeTorch.Initialize();

    public static TheoryData<string> Hostile =>
    [
        "nonzero", "argwhere", "mask", "masked_select", "clone", "sort", "cumsum", "softmax", "kron", "cdist", "svd", "attention", "einsum",
        "unique", "one_hot", "repeat", "zeros", "diag_embed", "cov", "bincount", "matmul", "reciprocal", "mish", "count_nonzero",
        "maximum", "repeats", "counts", "tensor", "normal", "isinf", "masked_scatter", "square", "addcdiv_", "lstsq", "mask of attention",
        "take_along_dim", "gather", "softsign", "cumsum of integers", "positions", "values", "rms_norm",
        "remainder_", "scatter of halves", "attention of halves", "fmod", "pos_weight", "searchsorted", "mean as halves",
        "mask of all", "sizes", "sizes of a view", "tensors in a list", "tensors as an index",
        "mask of bytes", "values at a mask", "weights", "too many weights",
    ];

    [Theory]
    [MemberData(nameof(Hostile))]
    public void WhatNeedsTooMuchMemory_IsRefused_BeforeItIsAllocated(string what)
    {
        using var scope = NewDisposeScope();
        KernelContext context = Context();
        Tensor one = ones(1, 1), expanded = ones(1, 1, 1, 1, dtype: ScalarType.Bool).expand(300_000_000, 1, 1, 1);
        Tensor rows = one.expand(20_000, 1), floats = one.expand(400_000_000, 1);
        long before = Resident();
        Exception thrown = Assert.ThrowsAny<Exception>(() => what switch
        {
            "nonzero" or "argwhere" => Run(context, what, expanded),
            "mask" => Run(context, "getitem", expanded, expanded),
            "masked_select" => Run(context, what, expanded, expanded),
            "clone" or "unique" => Run(context, what, floats),
            "sort" => Run(context, what, floats, 0L),
            "cumsum" or "softmax" => Run(context, what, floats, 0L),
            "kron" => Run(context, what, rows, rows),
            "cdist" => Run(context, what, rows, rows),
            "svd" => Run(context, "linalg_svd", rows.expand(20_000, 2), true),
            "attention" => Run(context, "scaled_dot_product_attention", one.expand(20_000, 8), one.expand(20_000, 8),
                one.expand(20_000, 8)),
            "einsum" => Run(context, what, "ij,kj->ik", new List<object?> { rows, rows }),
            "one_hot" => Run(context, what, zeros(1_000_000, dtype: ScalarType.Int64), 1000L),
            "repeat" => Run(context, what, one, new long[] { 100_000, 1000 }),
            "zeros" => Run(context, what, new long[] { 100_000, 1000 }),
            "diag_embed" => Run(context, what, ones(10_000)),
            "cov" => Run(context, what, rows),
            "bincount" => Run(context, what, tensor(new long[] { 200_000_000 })),
            "reciprocal" => Run(context, what, one.to(ScalarType.Byte).expand(60_000_000, 1)),
            "mish" => Run(context, what, one.expand(40_000_000, 1)),
            "count_nonzero" => Run(context, what, one.expand(40_000_000, 1), null),
            "maximum" => Run(context, what, one.to(ScalarType.Bool).expand(40_000_000, 1), -2L),
            "square" => Run(context, what, one.to(ScalarType.Bool).expand(20_000_000, 1)),
            "addcdiv_" => Run(context, what, ones(1_000, 20_000, dtype: ScalarType.BFloat16),
                one.to(ScalarType.Float64).expand(1_000, 20_000), one.to(ScalarType.Float16).expand(1_000, 20_000)),
            "lstsq" => Run(context, "linalg_lstsq", one.expand(2, 20_000), one.expand(2, 20_000)),
            "mask of attention" => Run(context, "scaled_dot_product_attention", one.expand(1_000, 1, 1, 3), one.expand(1_000, 1, 1, 3),
                one.expand(1_000, 1, 1, 3), one.expand(1_000, 1, 20_000, 3)),
            "attention of halves" => Run(context, "scaled_dot_product_attention", one.to(ScalarType.Float16).expand(64, 400_000),
                one.to(ScalarType.Float16).expand(64, 400_000), one.to(ScalarType.Float16).expand(64, 7)),
            "scatter of halves" => Run(context, "scatter", one.to(ScalarType.Float16).expand(60_000_000, 1), 1L,
                zeros(1, 1, dtype: ScalarType.Int64), 1.0),
            "mask of all" => Run(context, "getitem", ones(1, dtype: ScalarType.Float64).expand(20_000_000),
                ones(1, dtype: ScalarType.Bool).expand(20_000_000)),
            "fmod" => Run(context, what, one.to(ScalarType.Int32).expand(1_000, 200_000), one.to(ScalarType.Int32).expand(200_000, 1_000)),
            "pos_weight" => Run(context, "binary_cross_entropy_with_logits", ones(3), ones(3),
                new Dictionary<string, object?> { ["pos_weight"] = ones(1).expand(60_000_000) }),
            "searchsorted" => Run(context, what, one.to(ScalarType.Byte).expand(1, 60_000_000), ones(1, 1)),
            "mean as halves" => Run(context, "mean", one.to(ScalarType.Bool).expand(80_000_000, 1),
                new Dictionary<string, object?> { ["dtype"] = ScalarType.BFloat16 }),
            "take_along_dim" => Run(context, what, one.expand(100, 1), zeros(1, 1, dtype: ScalarType.Int64).expand(30_000_000, 1), 0L),
            "gather" => Run(context, what, one.expand(1_000, 30_000), 0L, zeros(1, 1, dtype: ScalarType.Int64).expand(1_000, 30_000)),
            "softsign" => Run(context, what, one.to(ScalarType.Int32).expand(20_000_000, 1)),
            "cumsum of integers" => Run(context, "cumsum", one.to(ScalarType.Int32).expand(20_000_000, 1), 0L),
            "rms_norm" => Run(context, what, one.expand(1, 20_000, 1), new long[] { 1 }, one.expand(20_000, 20_000, 1)),
            "remainder_" => Run(context, what, ones(64, 10_000, dtype: ScalarType.Int32),
                one.to(ScalarType.Int32).expand(400_000, 1_000)),
            "positions" => Run(context, "index_put_", one.expand(3, 1), new List<object?>
            {
                zeros(1, 1, dtype: ScalarType.Int32).expand(40_000_000, 1),
            }, 1L),
            "values" => Run(context, "index_put_", zeros(2, dtype: ScalarType.Int64), new List<object?> { zeros(1, ScalarType.Int64) },
                one.expand(40_000_000, 1)),
            "counts" => Run(context, "repeat_interleave", ones(2, 2), ones(1, 1, dtype: ScalarType.Int64).expand(2, 30_000_000)),
            "isinf" => Run(context, what, one.expand(60_000_000, 1)),
            "masked_scatter" => Run(context, what, ones(10), ones(10, dtype: ScalarType.Bool), ones(1).expand(100_000_000)),
            "tensor" => Run(context, what, one.expand(80_000_000, 1)),
            "sizes" => Run(context, "zeros", one.to(ScalarType.Byte).reshape(1).expand(30_000_000)),
            "sizes of a view" => Run(context, "view", one, one.to(ScalarType.Int64).reshape(1).expand(30_000_000)),
            "mask of bytes" => Run(context, "getitem", one, one.to(ScalarType.Byte).expand(300_000_000, 1)),
            "values at a mask" => Run(context, "index_put_", ones(1).expand(24_000_000), new List<object?>
            {
                ones(1, dtype: ScalarType.Byte).expand(24_000_000),
            }, ones(1, dtype: ScalarType.Int64).expand(24_000_000)),
            "weights" => Run(context, "bincount", zeros(1, dtype: ScalarType.Int32).expand(30_000_000),
                ones(1, dtype: ScalarType.Int32).expand(30_000_000)),
            "too many weights" => Run(context, "bincount", zeros(20_000, dtype: ScalarType.Int64), ones(1).expand(300_000_000)),
            "tensors in a list" => Run(context, "tensor", Enumerable.Repeat<object?>(one.expand(10_000_000, 1), 10).ToList()),
            "tensors as an index" => Run(context, "getitem", one,
                Enumerable.Repeat<object?>(zeros(1, dtype: ScalarType.Int64).expand(10_000_000), 4).ToList()),
            "normal" => Run(context, what, ones(20_000, 2), one.expand(20_000, 20_000)),
            "repeats" => Run(context, "repeat_interleave", ones(1), ones(1, dtype: ScalarType.Int32).expand(40_000_000)),
            _ => Run(context, what, rows, one.expand(1, 20_000)),
        });
        Assert.True(LibtorchErrors.IsTyped(thrown), thrown.ToString());
        Assert.Contains(Errors.FromException(thrown).Code,
            new[] { ErrorCode.OutOfMemory, ErrorCode.LimitExceeded, ErrorCode.ShapeMismatch });
        Assert.InRange(Resident() - before, long.MinValue, 100L << 20);
    }

    /// <summary>The parts of a value of a graph become one tensor at the end, when all of them are there.</summary>
    [Fact]
    public void PartsThatAreRecorded_CountTwice()
    {
        using var scope = NewDisposeScope();
        using IDisposable grad = enable_grad();
        Tensor weight = ones(1, 1).requires_grad_(true);
        NdifException error = Assert.ThrowsAny<NdifException>(() => Run(Context(), "cosh", weight.expand(40_000_000, 1)));
        Assert.Equal(ErrorCode.OutOfMemory, error.Code);
        Run(Context(), "cosh", weight.detach().expand(40_000_000, 1));
    }

    [Fact]
    public void Diff_OfMoreTimesThanElements_IsEmpty()
    {
        using var scope = NewDisposeScope();
        KernelContext context = Context();
        var result = (Tensor)Run(context, "diff", zeros(100_000), 1_000_000_000_000_000L)!;
        Assert.Equal([0L], result.shape);
        // many passes: each is released before the next
        Tensor many = (Tensor)Run(context, "diff", arange(2_000_000, dtype: ScalarType.Float32), 40L)!;
        Assert.Equal(2_000_000 - 40, many.shape[0]);
    }

    /// <summary>The message of libtorch would contain all of the elements.</summary>
    [Fact]
    public void AnErrorAboutALargeTensor_IsShort_AndAtOnce()
    {
        using var scope = NewDisposeScope();
        KernelContext context = Context();
        long start = Stopwatch.GetTimestamp();
        NdifException thrown = Assert.ThrowsAny<NdifException>(() =>
            Run(context, "meshgrid", new List<object?> { ones(1, 1).expand(60_000, 1_000) }));
        Assert.Equal(ErrorCode.ShapeMismatch, thrown.Code);
        Assert.InRange(thrown.Message.Length, 1, 500);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 3);
    }

    /// <summary>The positions are read before the cost is known.</summary>
    [Theory]
    [InlineData("getitem")]
    [InlineData("setitem_")]
    [InlineData("index_put_")]
    public void TooManyPositions_AreRefused(string op)
    {
        using var scope = NewDisposeScope();
        KernelContext context = CreateContext(1L << 60, null, TestContext.Current.CancellationToken);
        context = new KernelContext { Limits = context.Limits, MaxTensorBytes = long.MaxValue };
        Tensor self = zeros(2, 1000), positions = zeros(1, 1, dtype: ScalarType.Int64).expand(20_000, 1_000);
        long start = Stopwatch.GetTimestamp();
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => op switch
        {
            "getitem" => Run(context, op, self, positions),
            "setitem_" => Run(context, op, self, positions, 1.5),
            _ => Run(context, op, self, new List<object?> { positions }, ones(1), true),
        });
        Assert.Equal(ErrorCode.LimitExceeded, thrown.Code);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 3);
    }

    [Fact]
    public void NegativeRepeats_AreRefused()
    {
        using var scope = NewDisposeScope();
        NdifException thrown = Assert.ThrowsAny<NdifException>(() =>
            Run(Context(), "repeat_interleave", ones(3), tensor(new long[] { 1, -1, 2 })));
        Assert.Equal(ErrorCode.OpFailed, thrown.Code);
    }

    [Theory]
    [InlineData("exp")]
    [InlineData("sort")]
    [InlineData("matmul")]
    [InlineData("matmul of halves")]
    [InlineData("matmul of integers")]
    [InlineData("attention")]
    [InlineData("causal")]
    [InlineData("diff")]
    [InlineData("randn")]
    [InlineData("cdist")]
    [InlineData("amax")]
    public async Task ALongOperation_EndsSoonAfterItsJobIsCancelled(string what)
    {
        using var cancel = new CancellationTokenSource();
        KernelContext context = CreateContext(4L << 30, null, cancel.Token);
        long cancelled = 0;
        using var scope = NewDisposeScope();
        Tensor one = ones(1, 1);
        Task timer = Task.Run(async () =>
        {
            await Task.Delay(700, TestContext.Current.CancellationToken);
            cancelled = Stopwatch.GetTimestamp();
            await cancel.CancelAsync();
        }, TestContext.Current.CancellationToken);
        Tensor Positions(long count) => ones(1, 1, 1, 64).expand(1, 1, count, 64);
        Action repeat = () =>
        {
            while (true)
                _ = what switch
                {
                    "exp" => Run(context, what, one.expand(400_000_000, 1)),
                    "sort" => Run(context, what, one.expand(400, 200_000), 1L),
                    "matmul" => Run(context, what, one.expand(20_000, 8_000), one.expand(8_000, 8_000)),
                    "matmul of halves" => Run(context, "matmul", one.to(ScalarType.Float16).expand(8_192, 4_096),
                        ones(1, 4_096, dtype: ScalarType.Float16).expand(4_096, 4_096)),
                    "matmul of integers" => Run(context, "matmul", one.to(ScalarType.Int64).expand(4_096, 4_096),
                        ones(1, 4_096, dtype: ScalarType.Int64).expand(4_096, 4_096)),
                    "attention" => Run(context, "scaled_dot_product_attention", Positions(30_000), Positions(30_000), Positions(30_000)),
                    "causal" => Run(context, "scaled_dot_product_attention", Positions(30_000), Positions(30_000), Positions(30_000), null,
                        0.0, true),
                    "diff" => Run(context, what, zeros(1_000_000), 900_000L),
                    "randn" => Run(context, what, new long[] { 200_000_000 }),
                    "amax" => Run(context, what, one.to(ScalarType.BFloat16).expand(1_000_000, 4_000), new List<object?>(), false),
                    _ => Run(context, what, one.expand(60_000, 300), one.expand(5_000, 300)),
                };
        };
        Assert.ThrowsAny<OperationCanceledException>(repeat);
        await timer;
        // a second on an idle machine
        Assert.InRange(Stopwatch.GetElapsedTime(cancelled).TotalSeconds, 0, 8);
    }

    [Fact]
    public void WhatWouldTakeLongerThanTheJobHas_IsRefused()
    {
        using var scope = NewDisposeScope();
        KernelContext context = Context(8L << 30, TimeSpan.FromSeconds(3));
        long start = Stopwatch.GetTimestamp();
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => Run(context, "linalg_svd", ones(1, 1).expand(9_000, 9_000), true));
        Assert.Equal(ErrorCode.JobTimeout, thrown.Code);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 3);
    }

    [Fact]
    public void Factorization_RunsInAnotherProcess_AndDiesWithItsJob()
    {
        Assert.True(Engine.Kernels.Isolation.IsolatedOperation.IsAvailable);
        using var scope = NewDisposeScope();
        Tensor matrix = rand(60, 40);
        KernelContext context = Context();
        OpSchema schema = OpTable.Get("linalg_svd");
        object?[] bound = ArgumentBinder.Bind(schema, [matrix, false]);
        var arguments = new OpArguments(schema, bound, context);
        var expected = (object?[])KernelTable.Kernels["linalg_svd"](arguments)!;
        var actual = (object?[])Engine.Kernels.Isolation.IsolatedOperation.Run(arguments,
            new Engine.Kernels.Costs.OpCost(1 << 20), context.Limits!)!;
        for (int i = 0; i < expected.Length; i++)
            Assert.True(((Tensor)expected[i]!).contiguous().bytes.SequenceEqual(((Tensor)actual[i]!).contiguous().bytes));

        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        KernelContext cancelled = CreateContext(8L << 30, null, cancel.Token);
        Tensor large = rand(4096, 4096);
        long start = Stopwatch.GetTimestamp();
        Assert.ThrowsAny<OperationCanceledException>(() => Run(cancelled, "linalg_svd", large, true));
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 10);
        // an error of the operation comes back with its code
        NdifException error = Assert.ThrowsAny<NdifException>(() => Engine.Kernels.Isolation.IsolatedOperation.Run(
            new OpArguments(OpTable.Get("linalg_inv"), [zeros(3, 3)], context), new Engine.Kernels.Costs.OpCost(1 << 20), context.Limits!));
        Assert.Equal(ErrorCode.OpFailed, error.Code);
    }

    [Theory]
    [InlineData("equal")]
    [InlineData("allclose")]
    public void TestOfAllElements_IsDivided(string op)
    {
        using var scope = NewDisposeScope();
        int parts = 0;
        var context = new KernelContext { Limits = new OperationLimits { DividesAll = true, OnPart = () => parts++ >= 0 } };
        Tensor self = zeros(100, 3), other = zeros(100, 3);
        Assert.Equal(true, Run(context, op, self, other));
        Assert.InRange(parts, 2, 100);
        other[57, 1] = 1;
        Assert.Equal(false, Run(context, op, self, other));
        Assert.Equal(op == "allclose", Run(context, op, self, zeros(1, 3)));
    }

    /// <summary>libtorch allocates statistics for groups of no channels.</summary>
    [Fact]
    public void GroupsOfNoChannels_AreRefused()
    {
        using var scope = NewDisposeScope();
        NdifException refused = Assert.ThrowsAny<NdifException>(() => Run(Context(), "group_norm", zeros(7, 0, 7), 1_000_000L));
        Assert.Equal(ErrorCode.ShapeMismatch, refused.Code);
        Assert.Equal([7, 0, 7], ((Tensor)Run(Context(), "group_norm", zeros(7, 0, 7), 1L)!).shape);
    }

    /// <summary>Two rows of two billion elements cannot be divided further, nor can 512 rows of a product.</summary>
    [Theory]
    [InlineData("var")]
    [InlineData("matmul")]
    public void LongPart_IsComputedInAnotherProcess_OrRefused(string op)
    {
        using var scope = NewDisposeScope();
        object?[] arguments = op == "var"
            ? [zeros(1, dtype: ScalarType.BFloat16).expand(2, 2_000_000_000), new List<object?> { 1L }]
            : [zeros(1, 1).expand(1024, 40_000), zeros(1, 1).expand(40_000, 40_000)];
        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        long start = Stopwatch.GetTimestamp();
        Assert.ThrowsAny<OperationCanceledException>(() => Run(CreateContext(16L << 30, null, cancel.Token), op, arguments));
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 4);

        arguments[0] = ((Tensor)arguments[0]!).detach().requires_grad_();
        NdifException refused = Assert.ThrowsAny<NdifException>(() => Run(Context(16L << 30), op, arguments));
        Assert.Equal(ErrorCode.LimitExceeded, refused.Code);
    }

    /// <summary>A model of another type than float32 creates tensors of its type.</summary>
    [Fact]
    public void AnotherProcess_HasTheContextOfTheJob()
    {
        using var scope = NewDisposeScope();
        var context = new KernelContext { DefaultType = ScalarType.BFloat16, MaxListItems = 7, Limits = Context().Limits };
        object?[] bound = ArgumentBinder.Bind(OpTable.Get("linspace"), [0.0, 1.0, 3L]);
        var made = (Tensor)Engine.Kernels.Isolation.IsolatedOperation.Run(new OpArguments(OpTable.Get("linspace"), bound, context),
            new Engine.Kernels.Costs.OpCost(64), context.Limits!)!;
        Assert.Equal(ScalarType.BFloat16, made.dtype);
        bound = ArgumentBinder.Bind(OpTable.Get("tolist"), [zeros(8)]);
        NdifException thrown = Assert.ThrowsAny<NdifException>(() => Engine.Kernels.Isolation.IsolatedOperation.Run(
            new OpArguments(OpTable.Get("tolist"), bound, context), new Engine.Kernels.Costs.OpCost(64), context.Limits!));
        Assert.Equal(ErrorCode.LimitExceeded, thrown.Code);
    }

    /// <summary>Blocks of rows of products have the bits of the whole product.</summary>
    [Theory]
    [InlineData("matmul")]
    [InlineData("bfloat16")]
    [InlineData("double")]
    [InlineData("float16")]
    [InlineData("integers")]
    [InlineData("batches")]
    [InlineData("linear")]
    [InlineData("rows of a batch")]
    [InlineData("attention")]
    [InlineData("causal heads")]
    [InlineData("cdist")]
    public void ProductsInBlocks_HaveTheBitsOfTheWhole(string what)
    {
        using var scope = NewDisposeScope();
        random.manual_seed(5);
        KernelContext whole = new(), parts = new()
        {
            Limits = new OperationLimits { MaxBytes = 4L << 30, FreeBytes = () => 4L << 30, DividesAll = true },
        };
        Tensor x = randn(1540, 300), y = randn(300, 200), one = randn(1, 1, 2500, 32), heads = randn(1, 3, 900, 32);
        (string op, object?[] arguments) = what switch
        {
            "matmul" => ("matmul", new object?[] { x, y }),
            "bfloat16" => ("mm", [x.bfloat16(), y.bfloat16()]),
            "double" => ("mm", [x.@double(), y.@double()]),
            "float16" => ("mm", [x.half()[..200], y.half()]),
            "integers" => ("mm", [(x[..200] * 9).@long(), (y * 9).@long()]),
            "batches" => ("bmm", [randn(7, 90, 60), randn(7, 60, 50)]),
            "linear" => ("linear", [x, y.t(), randn(200)]),
            "rows of a batch" => ("matmul", [randn(230, 9, 300), y]),
            "attention" => ("scaled_dot_product_attention", [one, one, one]),
            "causal heads" => ("scaled_dot_product_attention", [heads, heads, heads, null, 0.0, true]),
            _ => ("cdist", [x, randn(700, 300)]),
        };
        var expected = (Tensor)Run(whole, op, arguments)!;
        var actual = (Tensor)Run(parts, op, arguments)!;
        Assert.Equal(expected.shape, actual.shape);
        double difference = expected.@double().sub(actual.@double()).abs().max().item<double>();
        Assert.True(expected.contiguous().bytes.SequenceEqual(actual.contiguous().bytes), $"{what}: differs by {difference}");
    }

    /// <summary>The check of a call on small tensors takes less than a microsecond; the best of many runs counts.</summary>
    [Fact]
    public void OnSmallTensors_TheCheckCostsNearlyNothing()
    {
        const int Calls = 500, Runs = 60;
        using var scope = NewDisposeScope();
        OpSchema schema = OpTable.Get("add");
        object?[] bound = ArgumentBinder.Bind(schema, [ones(4, 64), ones(4, 64)]);
        KernelContext unlimited = new(), limited = Context();
        double without = double.MaxValue, with = double.MaxValue;
        for (int run = 0; run < Runs; run++)
        {
            without = Math.Min(without, Time(unlimited));
            with = Math.Min(with, Time(limited));
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{without:0.000} us without limits, {with:0.000} us with");
        Assert.InRange(with - without, -1, 1);

        double Time(KernelContext context)
        {
            using var calls = NewDisposeScope();
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Calls; i++) KernelTable.Run(schema, bound, context);
            return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Calls;
        }
    }

    private static KernelContext Context(long most = Most, TimeSpan? time = null) =>
        CreateContext(most, time, TestContext.Current.CancellationToken);

    private static KernelContext CreateContext(long most, TimeSpan? time, CancellationToken token) => new()
    {
        Limits = new OperationLimits
        {
            MaxBytes = most, FreeBytes = () => most, CancellationToken = token, TimeLeft = time is { } left ? () => left : null,
        },
        Generator = new Lazy<Generator>(() => new Generator(1)),
    };

    /// <param name="arguments">Keywords are the last one, a dictionary.</param>
    private static object? Run(KernelContext context, string op, params object?[] arguments)
    {
        OpSchema schema = OpTable.Get(op);
        object?[] bound = arguments is [.. var positional, Dictionary<string, object?> keywords]
            ? ArgumentBinder.Bind(schema, positional, keywords) : ArgumentBinder.Bind(schema, arguments);
        using var scope = NewDisposeScope();
        return TensorOwnership.MapTensors(KernelTable.Run(schema, bound, context),
            tensor => tensor.MoveToOuterDisposeScope());
    }

    private static long Resident() => Environment.WorkingSet;
}
