using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.HookedModels;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// Tokens of a generation of each family of architectures, in bfloat16, against reading the weights that a token needs from memory once.
/// The goal of the others is what Llama reaches in the same run, divided by 1.25.
/// </summary>
internal sealed class FamiliesGroup : BenchmarkGroup
{
    private const int PassCount = 16;

    private double? _llama;

    public override string Name => "Families";

    public override IReadOnlyList<Benchmark> Entries =>
        [.. FamilyCheckpoint.All.Select(family => Benchmark.Of($"families.{family.Name} decode", settings => Measure(family, settings)))];

    private IReadOnlyList<Measurement> Measure(FamilyCheckpoint family, RunSettings settings)
    {
        string folder = family.Folder();
        using LoadedModel model = ModelLoader.Load(folder, ScalarType.BFloat16);
        var read = new WeightReader(model);
        double bytes = FamilyCheckpoint.BytesPerToken(model);
        using var hookedModel = new HookedLanguageModel(model);
        var run = new GenerationRun(hookedModel, folder, PassCount);
        InterleavedTimings times = InterleavedTimings.Measure(settings.RoundCount(20), warmup: 2, run.Run, ReadAll);
        double fraction = times.Ratio(1, 0).Median * bytes / read.Bytes;
        Goal? goal = _llama is { } llama ? Goal.AtLeast(llama / 1.25) : null;
        if (family.Name == "llama") _llama = fraction;
        return
        [
            new($"families.{family.Name} decode", fraction, "of the bandwidth", $"reading {bytes / 1e6:0} of {read.Bytes / 1e6:0} MB for "
                + $"each token, {read.Bytes * PassCount / times.Time(1).Median / 1e9:0.0} GB/s; {PassCount / times.Time(0).Median:0.0} tokens/s",
                goal),
        ];

        void ReadAll()
        {
            for (int i = 0; i < PassCount; i++) read.Run();
        }
    }
}
