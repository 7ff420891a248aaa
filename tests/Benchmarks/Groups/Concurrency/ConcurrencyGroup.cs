using Ndif.Benchmarks.Harness;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// Many users of one model: what a stranger's work costs each of them, and what all of them together get out of it. The scheduler of the
/// engine is stepped on the calling thread, without a network; the patching sweep and the loop of awaited traces go through the service.
/// </summary>
internal sealed class ConcurrencyGroup : BenchmarkGroup
{
    private readonly Lazy<ServedModel> _gpt2 = new(ServedModel.GPT2), _llama = new(() => ServedModel.Llama()),
        _llamaBFloat16 = new(() => ServedModel.Llama(ScalarType.BFloat16));

    public override string Name => "Concurrency";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        .. OnModel("gpt2-small fp32", _gpt2),
        .. OnModel("llama-135m fp32", _llama),
        Benchmark.Of("concurrency.llama-135m bf16 16 users", settings => MixedThroughput.Measure(_llamaBFloat16.Value, settings)),
        Benchmark.Of("concurrency.waste", WastedRows.Measure),
        OneThread.Benchmark(Name, "concurrency.trace", TraceOverhead.Measure),
        new("concurrency.sweep", PatchingSweep.Measure),
        new("concurrency.awaited traces", AwaitedTraces.Measure),
    ];

    public override ValueTask DisposeAsync()
    {
        foreach (Lazy<ServedModel> model in (Lazy<ServedModel>[])[_gpt2, _llama, _llamaBFloat16])
            if (model.IsValueCreated) model.Value.Dispose();
        return base.DisposeAsync();
    }

    private static IEnumerable<Benchmark> OnModel(string name, Lazy<ServedModel> model) =>
    [
        Benchmark.Of($"concurrency.{name} a trace beside a generation", settings => LatencyUnderLoad.OfTrace(model.Value, settings)),
        Benchmark.Of($"concurrency.{name} first token beside 8 generations",
            settings => LatencyUnderLoad.OfFirstToken(model.Value, settings)),
        Benchmark.Of($"concurrency.{name} 16 users", settings => MixedThroughput.Measure(model.Value, settings)),
        Benchmark.Of($"concurrency.{name} 16 users of a kind", settings => MixedThroughput.MeasureKinds(model.Value, settings)),
        Benchmark.Of($"concurrency.{name} random arrivals", settings => PoissonArrivals.Measure(model.Value, settings)),
    ];
}
