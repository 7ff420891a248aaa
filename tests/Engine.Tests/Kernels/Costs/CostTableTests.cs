using System.Globalization;
using Ndif.Engine.Kernels;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels.Costs;

/// <summary>What operations take is known before they run.</summary>
public sealed class CostTableTests
{
    static CostTableTests() => NativeTorch.Initialize();

    public static TheoryData<string> Cases() => [.. KernelCase.Lines()];

    [Fact]
    public void EveryOperation_HasACost_AndEveryCostAnOperation() =>
        Assert.Equal(OpTable.Rows.Keys.Order(), CostTable.Entries.Keys.Order());

    /// <summary>What is computed in parts is what is computed at once, bit for bit; the cost of every case can be computed.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void AnOperation_InParts_IsTheOperation(string line)
    {
        var kernelCase = new KernelCase(line);
        using var scope = NewDisposeScope();
        var whole = new KernelContext();
        var parts = new KernelContext { Limits = new OperationLimits { MaxBytes = 1 << 30, FreeBytes = () => 1 << 30, DividesAll = true } };
        (object? expected, ErrorCode? code) = Run(kernelCase, whole);
        (object? actual, ErrorCode? partsCode) = Run(kernelCase, parts);
        // what is too large for any tensor is too large for the job
        Assert.Equal(code, partsCode is ErrorCode.OutOfMemory ? ErrorCode.LimitExceeded : partsCode);
        if (kernelCase.Schema.IndexOf("seed") < 0) AssertSame(line, expected, actual);
    }

    /// <summary>The results have at most the bytes of the cost.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void TheCost_IsNoLessThanTheResult(string line)
    {
        var kernelCase = new KernelCase(line);
        if (kernelCase.Kind == "!!" || _checkedInKernel.Contains(kernelCase.Schema.Name)) return;
        using var scope = NewDisposeScope();
        var context = new KernelContext();
        object?[] bound = kernelCase.Bind(context);
        OpCost cost = CostTable.Entries[kernelCase.Schema.Name].Rule(new OpArguments(kernelCase.Schema, bound, context));
        object? result = kernelCase.Run(bound, context);
        if (kernelCase.Schema.InPlace || CostTable.IsFree(kernelCase.Schema.Name)) return;
        var arguments = bound.OfType<Tensor>().ToHashSet(ReferenceEqualityComparer.Instance);
        double bytes = ValueMemory.ShapeBytesOf(result);
        // what has a few elements may be returned as a view, or as numbers of eight bytes
        Assert.True(bytes <= Math.Max(64, cost.OutputBytes), $"{line}: {bytes} bytes, and the cost says {cost}");
    }

    /// <summary>An operation with the row of views makes no memory: its results are in the storages of its arguments.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void WhatIsFree_ReturnsViews(string line)
    {
        var kernelCase = new KernelCase(line);
        string op = kernelCase.Schema.Name;
        if (kernelCase.Kind == "!!" || !CostTable.IsFree(op) || kernelCase.Schema.InPlace || _checkedInKernel.Contains(op)) return;
        using var scope = NewDisposeScope();
        var context = new KernelContext();
        object?[] bound = kernelCase.Bind(context);
        HashSet<nint> storages = [];
        TensorOwnership.ForEachTensor(bound, tensor => storages.Add(HeldStorages.StorageOf(tensor)?.Storage ?? 0));
        TensorOwnership.ForEachTensor(kernelCase.Run(bound, context), tensor =>
            Assert.True(HeldStorages.StorageOf(tensor) is not { } found || storages.Contains(found.Storage), $"{line} is no view"));
    }

    /// <summary>Every other operation takes time for its elements, so that a long call is found before it runs.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void WhatIsNotFree_TakesTime(string line)
    {
        var kernelCase = new KernelCase(line);
        string op = kernelCase.Schema.Name;
        if (kernelCase.Kind == "!!" || CostTable.IsFree(op) || _checkedInKernel.Contains(op)) return;
        using var scope = NewDisposeScope();
        var context = new KernelContext();
        object?[] bound = kernelCase.Bind(context);
        CostEntry entry = CostTable.Entries[op];
        OpCost cost = entry.Rule(new OpArguments(kernelCase.Schema, bound, context));
        Assert.True(cost.Elements + cost.Flops > 0 || cost.Bytes == 0, $"{line}: {cost}");
        Assert.InRange(entry.SkipBelow, 0, 1 << 20);
    }

    /// <summary>An argument that is converted to the type of the computation needs a copy of all of its elements.</summary>
    [Theory]
    [InlineData("reciprocal", ScalarType.Byte, null, 1)]
    [InlineData("atanh", ScalarType.Int32, null, 1)]
    [InlineData("exp", ScalarType.BFloat16, null, 0)]
    [InlineData("add", ScalarType.Float32, ScalarType.Float32, 0)]
    [InlineData("add", ScalarType.BFloat16, ScalarType.BFloat16, 0)]
    [InlineData("add", ScalarType.BFloat16, ScalarType.Float32, 1)]
    [InlineData("eq", ScalarType.Int32, ScalarType.Float32, 1)]
    [InlineData("mul", ScalarType.Int32, ScalarType.Int32, 0)]
    public void ConvertedArguments_AreWorkspace(string op, ScalarType type, ScalarType? other, int copies)
    {
        using var scope = NewDisposeScope();
        const long count = 1000;
        Tensor[] arguments = [.. new[] { type, other }.OfType<ScalarType>().Select(t => ones(1, dtype: t).expand(count))];
        OpSchema schema = OpTable.Rows[op];
        var bound = new object?[schema.Parameters.Count];
        for (int i = 0; i < bound.Length; i++)
            bound[i] = i < arguments.Length ? arguments[i] : null;
        OpCost cost = CostTable.Entries[op].Rule(new OpArguments(schema, bound, new KernelContext()));
        Assert.Equal(copies * count * sizeof(float), cost.WorkspaceBytes);
    }

    /// <summary>libtorch scatters halves in a float32 copy; it adds, fills and copies them in place.</summary>
    [Theory]
    [InlineData("scatter", true)]
    [InlineData("scatter_add", true)]
    [InlineData("index_add", false)]
    [InlineData("index_copy", false)]
    [InlineData("index_copy_", false)]
    [InlineData("index_fill", false)]
    [InlineData("index_fill_", false)]
    public void ScatteredHalves_HaveAFloatCopy_WhereLibtorchMakesOne(string op, bool hasCopy)
    {
        using var scope = NewDisposeScope();
        foreach (ScalarType type in (ScalarType[])[ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32])
        {
            OpArguments arguments = BindScatter(op, type, rows: 1000);
            int copies = hasCopy && type is not ScalarType.Float32 ? 1 : 0;
            double copy = ((Tensor)arguments[0]!).numel() * sizeof(float);
            Assert.InRange(CostTable.Entries[op].Rule(arguments).WorkspaceBytes / copy, copies, copies + 0.02);
        }
    }

    /// <summary>libtorch makes several tensors of the size of a result: over several dimensions, few of the argument's size.</summary>
    [Theory(Explicit = true)] // as below
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public void TheMemoryOfALogSumExp_IsAtMostThatOfItsCost(long first, long second)
    {
        using var scope = NewDisposeScope();
        OpSchema schema = OpTable.Get("logsumexp");
        object?[] bound = ArgumentBinder.Bind(schema, [ones(1, 1).expand(30_000_000, 1), new List<object?> { first, second }]);
        var arguments = new OpArguments(schema, bound, new KernelContext());
        Assert.InRange(MeasurePeak(arguments), 0, CostTable.Entries["logsumexp"].Rule(arguments).Bytes / 1048576 + 8);
    }

    /// <summary>
    /// What these operations take is the memory of the cost: for 122 MiB of halves, 122 MiB to add, fill or copy and 366 MiB to scatter.
    /// Explicit, because it measures the memory of the process, which other tests use too.
    /// </summary>
    [Theory(Explicit = true)]
    [InlineData("scatter")]
    [InlineData("scatter_add")]
    [InlineData("index_add")]
    [InlineData("index_copy")]
    [InlineData("index_copy_")]
    [InlineData("index_fill")]
    [InlineData("index_fill_")]
    public void TheMemoryOfAScatter_IsThatOfItsCost(string op)
    {
        foreach (ScalarType type in (ScalarType[])[ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32])
        {
            using var scope = NewDisposeScope();
            OpArguments arguments = BindScatter(op, type, rows: 1_000_000);
            OpCost cost = CostTable.Entries[op].Rule(arguments);
            Assert.InRange(MeasurePeak(arguments), 0.9 * cost.Bytes / 1048576 - 8, cost.Bytes / 1048576 + 8);
        }
    }

    /// <summary>The number of products of matrix_exp follows the largest element.</summary>
    [Theory]
    [InlineData(1.0, 80)]
    [InlineData(1e300, 2_000)]
    [InlineData(-1e300, 2_000)]
    [InlineData(double.PositiveInfinity, 2_000)]
    public void MatrixExp_CostsItsSquarings(double value, double least)
    {
        using var scope = NewDisposeScope();
        const long Side = 70;
        double flops = CostOf("matrix_exp", full([Side, Side], value, ScalarType.Float64)).Flops / (Side * Side * Side);
        // 2 for float64
        Assert.InRange(flops, 2 * (least - 60), 2 * (least + 300));
    }

    [Theory]
    [InlineData(1_000_000, 100, 6)] // a heap
    [InlineData(1_000_000, 100_000, 100)]
    public void TopK_CostsItsComparisons(long count, long k, double least)
    {
        using var scope = NewDisposeScope();
        Assert.InRange(CostOf("topk", ones(1).expand(count), k).Elements / count, least, 200);
    }

    /// <summary>Long rows, and many elements of a median of all, may take a sort; a value of short ones is selected.</summary>
    [Theory]
    [InlineData("kthvalue", KernelTable.LongRow, false, false)]
    [InlineData("kthvalue", KernelTable.LongRow + 1, true, true)]
    [InlineData("median", KernelTable.LongRow, false, false)]
    [InlineData("median", KernelTable.LongRow + 1, true, true)]
    [InlineData("median of all", 1 << 20, true, false)]
    public void AnOrderStatistic_CostsASort_InLongRows(string op, long length, bool isSort, bool hasPositions)
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(1).expand(20, length);
        OpCost sort = CostOf("sort", self, 1L), cost = op switch
        {
            "median of all" => CostOf("median", self), "median" => CostOf(op, self, 1L), _ => CostOf(op, self, 1L, 1L),
        };
        Assert.Equal(isSort, cost.Elements >= sort.Elements);
        Assert.Equal(hasPositions, cost.Bytes >= sort.Bytes);
        Assert.Equal(20, cost.TypicalShare * cost.Elements / self.numel(), 3);
    }

    /// <summary>A dimension that is contracted with one of size 1 is summed first, also if it is empty.</summary>
    [Fact]
    public void TheSumsOfTensorDot_Count()
    {
        using var scope = NewDisposeScope();
        Assert.InRange(CostOf("tensordot", ones(2, 1, 3), ones(0, 3, 1_000_000), 2L).Bytes, 12e6, 1e8);
    }

    /// <summary>Rows without elements have norms, means and deviations too.</summary>
    [Theory]
    [InlineData("normalize")]
    [InlineData("layer_norm")]
    [InlineData("rms_norm")]
    [InlineData("cosine_similarity")]
    [InlineData("group_norm")]
    public void TheStatisticsOfEmptyRows_Count(string op)
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(1000, 1000, 0);
        OpCost cost = op switch
        {
            "normalize" => CostOf(op, self, 2.0, 2L),
            "cosine_similarity" => CostOf(op, self, self, 2L),
            "group_norm" => CostOf(op, self, 1L),
            _ => CostOf(op, self, new long[] { 0 }),
        };
        Assert.InRange(cost.Bytes, op == "cosine_similarity" ? 1.6e7 : 4e6, 2e7);
    }

    /// <summary>The gradient of a matrix of one column had 3 GB.</summary>
    [Theory]
    [InlineData("linalg_pinv")]
    [InlineData("linalg_lstsq")]
    public void TheGradientOfAPseudoinverse_IsSquareWithTheLongerSide(string op)
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(20_000, 1), weight = ones(20_000, 1).requires_grad_(true);
        Assert.InRange(Cost(self).Bytes, 0, 1e7);
        Assert.InRange(Cost(weight).Bytes, 3.2e9, 3.3e9);

        OpCost Cost(Tensor matrix)
        {
            using IDisposable grad = enable_grad();
            return op == "linalg_pinv" ? CostOf(op, matrix) : CostOf(op, matrix, self);
        }
    }

    /// <summary>A job is preempted for the time that a remainder typically takes; whether it can end is asked of the longest.</summary>
    [Fact]
    public void ARemainder_IsExpectedToTakeItsTypicalTime()
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(1, 1).expand(64, 1 << 18);
        Assert.InRange(ExpectedTime("remainder") / ExpectedTime("mul"), 2, 10);
        Assert.InRange(CostOf("remainder", self, 3.0).Elements / CostOf("mul", self, 3.0).Elements, 20, 60);

        double ExpectedTime(string op)
        {
            double seconds = 0;
            var limits = new OperationLimits { DividesAll = true, OnLongOperation = time => (seconds = time.TotalSeconds) >= 0 };
            var context = new KernelContext { Limits = limits };
            OpSchema schema = OpTable.Get(op);
            using var call = NewDisposeScope();
            KernelTable.Run(schema, ArgumentBinder.Bind(schema, [self, 3.0]), context);
            return seconds;
        }
    }

    /// <summary>The remainder of floats takes longer the more their exponents differ; only that division has one.</summary>
    [Theory]
    [InlineData("remainder", ScalarType.Float64, 35)]
    [InlineData("remainder", ScalarType.Float32, 10)]
    [InlineData("fmod", ScalarType.BFloat16, 10)]
    [InlineData("floor_divide_", ScalarType.Float32, 10)]
    [InlineData("remainder", ScalarType.Int64, 1)]
    public void Remainders_CostTheirLongestDivision(string op, ScalarType type, double least)
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(1_000, dtype: type);
        Assert.InRange(CostOf(op, self, self).Elements / self.numel(), least, 60);
    }

    [Fact]
    public void OnlyAFloorDivision_HasARemainder()
    {
        using var scope = NewDisposeScope();
        Tensor self = ones(1_000);
        double Work(string? mode) => CostOf("div", self, self, new Dictionary<string, object?> { ["rounding_mode"] = mode }).Elements;
        Assert.Equal(Work(null), Work("trunc"));
        Assert.InRange(Work("floor") / Work(null), 4, 10);
    }

    /// <summary>The matrices of a norm may lie along any two dimensions.</summary>
    [Fact]
    public void TheNormOfMatrices_CostsItsSingularValues()
    {
        using var scope = NewDisposeScope();
        Tensor stack = ones(1).expand(300, 200, 7);
        var dims = new List<object?> { 0L, 1L };
        OpCost nuclear = CostOf("linalg_matrix_norm", stack, "nuc", dims), second = CostOf("linalg_norm", stack, tensor(2), dims);
        Assert.Equal(7 * CostOf("linalg_svdvals", ones(300, 200)).Flops, nuclear.Flops);
        Assert.Equal(nuclear.Flops, second.Flops);
    }

    /// <param name="arguments">Keywords are the last one, a dictionary.</param>
    private static OpCost CostOf(string op, params object?[] arguments)
    {
        OpSchema schema = OpTable.Get(op);
        object?[] bound = arguments is [.. var positional, Dictionary<string, object?> keywords]
            ? ArgumentBinder.Bind(schema, positional, keywords) : ArgumentBinder.Bind(schema, arguments);
        return CostTable.Entries[op].Rule(new OpArguments(schema, bound, new KernelContext()));
    }

    private static OpArguments BindScatter(string op, ScalarType type, long rows)
    {
        const long Columns = 64;
        Tensor self = ones(rows, Columns, dtype: type), source = ones(rows / 100, Columns, dtype: type);
        Tensor index = op.StartsWith("scatter", StringComparison.Ordinal) ? zeros(rows / 100, Columns, dtype: ScalarType.Int64)
            : arange(rows / 100, dtype: ScalarType.Int64);
        OpSchema schema = OpTable.Rows[op];
        var bound = new object?[schema.Parameters.Count];
        object?[] given = [self, 0L, index, op.StartsWith("index_fill", StringComparison.Ordinal) ? 2.0 : source];
        given.CopyTo(bound, 0);
        if (op == "index_add") bound[4] = 1.0; // alpha
        return new OpArguments(schema, bound, new KernelContext());
    }

    /// <summary>The memory that the process needs for a call, in MiB.</summary>
    private static double MeasurePeak(in OpArguments arguments)
    {
        NativeHeap.Trim();
        File.WriteAllText("/proc/self/clear_refs", "5"); // the peak begins again
        long before = ReadMemory("VmRSS:");
        KernelTable.Kernels[arguments.Schema.Name](arguments);
        return (ReadMemory("VmHWM:") - before) / 1048576.0;
    }

    /// <param name="name">A line of /proc/self/status.</param>
    private static long ReadMemory(string name) => 1024 * long.Parse(File.ReadLines("/proc/self/status")
        .First(line => line.StartsWith(name, StringComparison.Ordinal)).Split(':')[1].Trim().Split(' ')[0], CultureInfo.InvariantCulture);

    /// <summary>The kernels of these check what they allocate once they have counted it.</summary>
    private static readonly HashSet<string> _checkedInKernel =
        ["nonzero", "argwhere", "masked_select", "bincount", "getitem", "repeat_interleave", "one_hot"];

    private static (object? Result, ErrorCode? Code) Run(KernelCase kernelCase, KernelContext context)
    {
        try
        {
            return (kernelCase.Run(kernelCase.Bind(context), context), null);
        }
        catch (Exception e) when (LibtorchErrors.IsTyped(e))
        {
            return (null, Errors.FromException(e).Code);
        }
    }

    private static void AssertSame(string line, object? expected, object? actual)
    {
        switch (expected)
        {
            case Tensor tensor:
                var other = Assert.IsType<Tensor>(actual, exactMatch: false);
                Assert.True(tensor.shape.SequenceEqual(other.shape) && tensor.dtype == other.dtype, line);
                if (tensor.numel() > 0 && tensor.device_type == DeviceType.CPU)
                    Assert.True(tensor.detach().contiguous().bytes.SequenceEqual(other.detach().contiguous().bytes), line);
                break;
            case IReadOnlyList<object?> items:
                var others = Assert.IsAssignableFrom<IReadOnlyList<object?>>(actual);
                Assert.Equal(items.Count, others.Count);
                for (int i = 0; i < items.Count; i++) AssertSame(line, items[i], others[i]);
                break;
            default:
                Assert.Equal(expected, actual);
                break;
        }
    }
}
