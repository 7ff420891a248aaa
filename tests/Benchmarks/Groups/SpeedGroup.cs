using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.HookedModels;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The speed relative to the limits of the machine. Generating a token, or a pass over ten tokens, reads every weight from memory once, so
/// the limit is the memory bandwidth. A pass over 512 tokens is bound by arithmetic, so the limit is a large matrix multiplication.
/// Of a model in eight bits, all bytes are read: the output projection is in float32. A model in four bits has codes and scales.
/// </summary>
internal sealed class SpeedGroup : BenchmarkGroup
{
    private const int PassCount = 16;

    public override string Name => "Speed";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        .. from model in (string[])["gpt2-small", "llama-135m"]
           from type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16]
           from workload in (string[])["decode", "10 tokens", "512 tokens"]
           select Benchmark.Of($"speed.{model} {(type == ScalarType.Float32 ? "fp32" : "bf16")} {workload}",
               settings => Measure(model, type, false, workload, settings)),
        .. from model in (string[])["gpt2-small", "llama-135m"]
           from workload in (string[])["decode", "10 tokens", "512 tokens"]
           select Benchmark.Of($"speed.{model} int8 {workload}", settings => Measure(model, ScalarType.Float32, true, workload, settings)),
        .. from workload in (string[])["decode", "10 tokens", "512 tokens"]
           from isPacked in (bool[])[false, true]
           select Benchmark.Of($"speed.llama-430m {(isPacked ? "int4" : "bf16")} {workload}", settings => Measure(
               isPacked ? LargeLlamaCheckpoint.PackedFolder() : LargeLlamaCheckpoint.Folder(),
               $"speed.llama-430m {(isPacked ? "int4" : "bf16")} {workload}", ScalarType.BFloat16, false, workload, settings)),
    ];

    private static IReadOnlyList<Measurement> Measure(string shape, ScalarType type, bool isEightBit, string workload,
        RunSettings settings) => Measure(shape == "gpt2-small" ? GPT2Checkpoint.Small.Folder() : LlamaCheckpoint.Folder(),
            $"speed.{shape} {(isEightBit ? "int8" : type == ScalarType.Float32 ? "fp32" : "bf16")} {workload}", type, isEightBit, workload,
            settings);

    private static IReadOnlyList<Measurement> Measure(
        string folder, string name, ScalarType type, bool isEightBit, string workload, RunSettings settings)
    {
        using LoadedModel model = ModelLoader.Load(folder, null, new LoadOptions { DType = type, EightBit = isEightBit });
        var read = new WeightReader(model);
        if (workload == "decode")
        {
            using var hookedModel = new HookedLanguageModel(model);
            var run = new GenerationRun(hookedModel, folder, PassCount);
            InterleavedTimings times = InterleavedTimings.Measure(settings.RoundCount(40), warmup: 2, run.Run, ReadAll);
            Estimate fraction = times.Ratio(1, 0);
            return
            [
                new(name, fraction.Median, "of the bandwidth", $"reading {read.Bytes / 1e6:0} MB of weights for each token, "
                    + $"{read.Bytes * PassCount / times.Time(1).Median / 1e9:0.0} GB/s; {PassCount / times.Time(0).Median:0.0} tokens/s "
                    + $"(± {fraction.Margin:0.000})", Goal.AtLeast(isEightBit ? 0.8 : 0.85)),
            ];

            void ReadAll()
            {
                for (int i = 0; i < PassCount; i++) read.Run();
            }
        }
        int tokens = workload == "10 tokens" ? 10 : 512;
        using var row = new PromptInput([.. GPT2Checkpoint.Small.Prompt(tokens).Select(id => id % 8192)]);
        if (tokens == 10)
        {
            InterleavedTimings times = InterleavedTimings.Measure(settings.RoundCount(100), warmup: 2, () => row.Run(model), read.Run);
            Estimate reads = times.Ratio(0, 1);
            return [new(name, reads.Median, "reads of the weights",
                $"one read, {1e3 * times.Time(1).Median:0.0} ms; the pass {1e3 * times.Time(0).Median:0.0} ms (± "
                    + $"{reads.Margin:0.000})", new Goal(2))];
        }
        return [MeasureArithmetic(name, model, row, tokens, type, settings)];
    }

    private static Measurement MeasureArithmetic(string name, LoadedModel model, PromptInput row, int tokens, ScalarType type,
        RunSettings settings)
    {
        const int Side = 2048;
        using var scope = NewDisposeScope();
        Tensor a = randn(Side, Side).to(type), b = randn(Side, Side).to(type);
        InterleavedTimings times = InterleavedTimings.Measure(settings.RoundCount(20), warmup: 2, () => row.Run(model), Product);
        // Each weight matrix, and the embedding of a tied head, is multiplied once per token. The products of attention are not counted.
        double weights = model.Modules.SelectMany(m => m.Parameters).Distinct()
            .Where(p => p.Shape.Length == 2 && p.Shape[0] != GPT2Checkpoint.Small.MaxPositions).Sum(p => (double)p.Shape[0] * p.Shape[1]);
        double perProduct = 2.0 * Side * Side * Side, perPass = 2 * weights * tokens;
        double fraction = times.Ratio(1, 0).Median * perPass / perProduct;
        return new(name, fraction, "of the product's speed",
            $"a {Side} x {Side} product, {perProduct / times.Time(1).Median / 1e9:0} GFLOP/s; the pass {1e3 * times.Time(0).Median:0} ms",
            Goal.AtLeast(0.8));

        void Product()
        {
            using var productScope = NewDisposeScope();
            using var nothing = no_grad();
            a.mm(b);
        }
    }
}
