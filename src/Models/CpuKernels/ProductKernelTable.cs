using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using System.Security.Cryptography;
using System.Text;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// The fastest kernel on this machine for each element type, layout of the weight and class of rows. It is measured when the first model
/// of an element type is loaded, and kept in a file of the user's cache.
/// </summary>
/// <remarks>
/// In float32 all candidates add in the same order, so that a row gives the same values alone and in a batch; libtorch is no candidate,
/// because its sums depend on the number of rows (docs/decisions/0013).
/// </remarks>
internal static class ProductKernelTable
{
    /// <summary>The time that measuring one element type may take.</summary>
    private static readonly TimeSpan _budget = TimeSpan.FromSeconds(0.5);

    /// <summary>The fraction of the default kernel's time that another one must need to replace it.</summary>
    private const double MaxFraction = 0.95;

    /// <summary>Increased when a kernel changes, so that it is measured again.</summary>
    private const int Version = 1;

    private const int SeriesCount = 3, RunsPerSeries = 3;

    /// <summary>The most rows of each class but the last, and the number of rows that each class is measured with.</summary>
    private static ReadOnlySpan<int> MaxRows => [1, 8, 24, 64];

    private static ReadOnlySpan<int> MeasuredRows => [1, 6, 16, 48, 192];

    private static readonly Lock _loading = new();

    /// <summary>The measured kernels by capability and element type: two layouts of <see cref="MeasuredRows"/>.Length classes.</summary>
    private static volatile Dictionary<(CpuCapability, ScalarType, bool IsEightBit), ProductKernel[]> _tables = [];

    /// <summary>The folder of the files, or an empty string if nothing is measured: <c>NDIF_CPU_KERNEL_CACHE</c>.</summary>
    private static string CacheFolder => Environment.GetEnvironmentVariable("NDIF_CPU_KERNEL_CACHE") ??
        (Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify) is
            { Length: > 0 } root ? Path.Combine(root, "ndif", "cpu-kernels") : "");

    /// <summary>The kernel for a product.</summary>
    public static ProductKernel Choose(ScalarType dtype, bool isEightBit, bool isInputMajor, int rows)
    {
        int rowClass = 0;
        while (rowClass < MaxRows.Length && rows > MaxRows[rowClass]) rowClass++;
        return _tables.TryGetValue((CpuCapabilities.Current, dtype, isEightBit), out ProductKernel[]? kernels)
            ? kernels[Index(isInputMajor, rowClass)] : Default(dtype, isEightBit, isInputMajor, MeasuredRows[rowClass]);
    }

    /// <summary>Loads or measures the kernels for the weights of a model. Does nothing where there are no kernels.</summary>
    public static void Prepare(ScalarType dtype, bool isEightBit)
    {
        if (dtype is not (ScalarType.Float32 or ScalarType.BFloat16) || !LinearKernels.IsEnabled || CacheFolder.Length == 0) return;
        var key = (CpuCapabilities.Current, dtype, isEightBit);
        lock (_loading)
        {
            if (_tables.ContainsKey(key)) return;
            _tables = new(_tables) { [key] = LoadOrMeasure(CacheFolder, dtype, isEightBit) };
        }
    }

    /// <summary>The kernels of an element type with the current capability, from the file in a folder if it exists.</summary>
    internal static ProductKernel[] LoadOrMeasure(string folder, ScalarType dtype, bool isEightBit)
    {
        string path = Path.Combine(folder, FileName(dtype, isEightBit));
        if (Read(path) is { } known && AreCandidates(known, dtype, isEightBit)) return known;
        ProductKernel[] kernels = Measure(dtype, isEightBit, out bool isComplete);
        if (isComplete) Write(path, kernels);
        return kernels;
    }

    /// <summary>The kernel where nothing was measured.</summary>
    private static ProductKernel Default(ScalarType dtype, bool isEightBit, bool isInputMajor, int rows) =>
        !isEightBit && BFloat16Gemm.Supports(dtype, rows) ? ProductKernel.BFloat16
        : rows > (isInputMajor ? 24 : 64) ? ProductKernel.Packed : ProductKernel.Streamed;

    /// <summary>The kernels that can compute a product; libtorch stands for a dequantized weight in eight bits.</summary>
    internal static IEnumerable<ProductKernel> Candidates(ScalarType dtype, bool isEightBit, int rows)
    {
        yield return ProductKernel.Streamed;
        if (rows > 1) yield return ProductKernel.Packed;
        if (dtype != ScalarType.BFloat16 || rows <= 8) yield break;
        bool hasProducts = BFloat16Gemm.Supports(dtype, rows);
        if (hasProducts && !isEightBit) yield return ProductKernel.BFloat16;
        if (!hasProducts || isEightBit) yield return ProductKernel.Libtorch;
    }

    private static bool AreCandidates(ProductKernel[] kernels, ScalarType dtype, bool isEightBit)
    {
        for (int i = 0; i < kernels.Length; i++)
            if (!Candidates(dtype, isEightBit, MeasuredRows[i % MeasuredRows.Length]).Contains(kernels[i])) return false;
        return true;
    }

    private static int Index(bool isInputMajor, int rowClass) => rowClass + (isInputMajor ? MeasuredRows.Length : 0);

    private static ProductKernel[] Measure(ScalarType dtype, bool isEightBit, out bool isComplete)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        var kernels = new ProductKernel[2 * MeasuredRows.Length];
        long start = Stopwatch.GetTimestamp();
        isComplete = true;
        foreach (bool isInputMajor in (bool[])[false, true])
        {
            var products = new ProductBenchmark(dtype, isEightBit, isInputMajor);
            for (int rowClass = 0; rowClass < MeasuredRows.Length; rowClass++)
            {
                int rows = MeasuredRows[rowClass];
                ProductKernel standard = Default(dtype, isEightBit, isInputMajor, rows);
                isComplete &= Stopwatch.GetElapsedTime(start) < _budget;
                kernels[Index(isInputMajor, rowClass)] =
                    isComplete ? Fastest(products, [.. Candidates(dtype, isEightBit, rows)], standard, rows) : standard;
            }
        }
        return kernels;
    }

    /// <summary>
    /// The kernel that is fastest in each of several series, by the best of a few runs in turn; the default kernel if another process
    /// disturbs the measurement so much that the series disagree.
    /// </summary>
    private static ProductKernel Fastest(ProductBenchmark products, ProductKernel[] candidates, ProductKernel standard, int rows)
    {
        ProductKernel? fastest = null;
        foreach (ProductKernel kernel in candidates) products.Run(kernel, rows); // compiles it
        for (int series = 0; series < SeriesCount; series++)
        {
            var times = candidates.ToDictionary(kernel => kernel, _ => long.MaxValue);
            for (int i = 0; i < RunsPerSeries; i++)
            {
                foreach (ProductKernel kernel in candidates)
                {
                    long start = Stopwatch.GetTimestamp();
                    products.Run(kernel, rows);
                    times[kernel] = Math.Min(times[kernel], Stopwatch.GetTimestamp() - start);
                }
            }
            ProductKernel winner = candidates.MinBy(kernel => times[kernel]);
            if (times[winner] >= MaxFraction * times[standard] || (fastest ?? winner) != winner) return standard;
            fastest = winner;
        }
        return fastest!.Value;
    }

    /// <summary>The file for an element type, named by everything that a measurement depends on.</summary>
    private static string FileName(ScalarType dtype, bool isEightBit)
    {
        string machine = $"{Processor()}, {KernelThreadPool.ThreadCount} threads, TorchSharp {typeof(Tensor).Assembly.GetName().Version}, "
            + $"version {Version}";
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(machine)))[..12];
        return $"{hash}-{CpuCapabilities.Current}-{dtype}{(isEightBit ? "-int8" : "")}.txt".ToLowerInvariant();
    }

    /// <summary>The model name of the processor.</summary>
    private static string Processor()
    {
        Span<int> name = stackalloc int[12];
        for (int i = 0; i < 3; i++)
            (name[4 * i], name[4 * i + 1], name[4 * i + 2], name[4 * i + 3]) = X86Base.CpuId(unchecked((int)0x80000002) + i, 0);
        return Encoding.ASCII.GetString(MemoryMarshal.AsBytes(name)).TrimEnd('\0').Trim();
    }

    private static ProductKernel[]? Read(string path)
    {
        try
        {
            string[]? names = File.Exists(path) ? File.ReadAllLines(path) : null;
            return names?.Length == 2 * MeasuredRows.Length ? [.. names.Select(Enum.Parse<ProductKernel>)] : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null; // it is measured again
        }
    }

    private static void Write(string path, ProductKernel[] kernels)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            string temporary = $"{path}.{Guid.NewGuid():n}";
            File.WriteAllLines(temporary, kernels.Select(kernel => kernel.ToString()));
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // without a cache the next process measures again
        }
    }
}
