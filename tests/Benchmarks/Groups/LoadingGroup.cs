using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The time to load GPT-2-small from a file in the page cache: until the model can be called, and until every page of its weights has been
/// read, so that the first forward pass does not wait for pages. The baseline is reading the file sequentially. The cold measurements drop
/// the file from the page cache before each load.
/// </summary>
internal sealed class LoadingGroup : BenchmarkGroup
{
    public override string Name => "Loading";

    public override IReadOnlyList<Benchmark> Entries =>
        [Benchmark.Of("loading.weights ready", Measure), Benchmark.Of("loading.cold", MeasureCold)];

    private static IReadOnlyList<Measurement> MeasureCold(RunSettings settings)
    {
        string file = GPT2Checkpoint.Small.WeightsFile;
        double megabytes = new FileInfo(file).Length / 1e6;
        if (!PageCache.Evict(file)) return [];
        InterleavedTimings times =
            InterleavedTimings.MeasureWithSetup(settings.RoundCount(20), warmup: 1, () => PageCache.Evict(file), () => Load(touch: true),
                () => ReadThrough(file));
        Estimate ratio = times.Ratio(0, 1);
        return
        [
            new("loading.cold, ratio", ratio.Median, "x",
                $"reading the file's {megabytes:0} MB in order, {times.Time(1).Median:0.000} s (± {ratio.Margin:0.000} x); dropped from "
                + "the system's cache before each", new Goal(1.15)),
        ];
    }

    private static IReadOnlyList<Measurement> Measure(RunSettings settings)
    {
        string file = GPT2Checkpoint.Small.WeightsFile;
        InterleavedTimings times =
            InterleavedTimings.Measure(settings.RoundCount(40), warmup: 2, () => Load(touch: true), () => Load(touch: false),
                () => ReadThrough(file));
        double megabytes = new FileInfo(file).Length / 1e6;
        Estimate ready = times.Time(0), ratio = times.Ratio(0, 2);
        string read = $"reading the file's {megabytes:0} MB in order, {times.Time(2).Median:0.000} s";
        return
        [
            new("loading.weights ready", ready.Median, "s", $"{read} (± {ready.Margin:0.000} s); every page touched",
                new Goal(0.3)),
            new("loading.weights ready, ratio", ratio.Median, "x", $"{read} (± {ratio.Margin:0.000} x)"),
            new("loading.model callable", 1e3 * times.Time(1).Median, "ms",
                $"{read}; pages are touched when they are first used"),
        ];
    }

    private static void Load(bool touch)
    {
        using LoadedModel model = GPT2Checkpoint.Small.Load();
        if (touch) WeightPages.Touch(model);
    }

    private static void ReadThrough(string path)
    {
        byte[] buffer = new byte[1 << 20];
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
        while (file.Read(buffer) > 0) { }
    }
}
