using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.HookedModels;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The overhead of sites: of one call by itself, and of an operation on a model of 12 layers with almost no arithmetic, where it is
/// measurable; and as a fraction of a forward pass of GPT-2-small over 10 tokens. What a saved value costs: see group Concurrency.
/// </summary>
internal sealed class SitesGroup : BenchmarkGroup
{
    private const int Tokens = 10, Warmup = 300;

    private readonly Lazy<LoadedModel> _small = new(GPT2Checkpoint.Small.Load);
    private readonly Lazy<LoadedModel> _tiny = new(GPT2Checkpoint.Tiny.Load);

    public override string Name => "Sites";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        OneThread.Benchmark(Name, "sites.untouched", MeasureUntouched),
        OneThread.Benchmark(Name, "sites.operations", MeasureOperations),
    ];

    public override ValueTask DisposeAsync()
    {
        if (_small.IsValueCreated) _small.Value.Dispose();
        if (_tiny.IsValueCreated) _tiny.Value.Dispose();
        return base.DisposeAsync();
    }

    /// <summary>
    /// A module that no program touches: the call of one that returns its argument, without an array of hooks and with one that has no hook
    /// for it; and the question of a fused layer whether any module in it has a hook. The time of a call is that of all calls divided by
    /// their number, the loop included. Then the whole forward without hooks against plain TorchSharp, which has no sites.
    /// </summary>
    private IReadOnlyList<Measurement> MeasureUntouched(RunSettings settings)
    {
        const int Calls = 100_000;
        LoadedModel tiny = _tiny.Value;
        var noHooks = new SiteHook?[tiny.Modules.Count];
        var module = new PassThroughModule();
        SiteModule layer = tiny.Modules.First(m => m.Path == "transformer.h.0");
        BestTimes times = BestTimes.Measure(settings.RoundCount(1000), warmup: 50, CallModule, () => WithHooks(CallModule),
            () => WithHooks(AskLayer));
        using var plain = new PlainGPT2(tiny, GPT2Checkpoint.Tiny);
        using var row = new PromptInput(GPT2Checkpoint.Tiny.Prompt(Tokens));
        InterleavedTimings forwards =
            InterleavedTimings.Measure(settings.RoundCount(5000), Warmup, () => row.Run(tiny), () => row.Run(plain));
        Estimate ratio = forwards.Ratio(0, 1);
        double forward = MeasureForward(settings);
        int calls = CountCalls(tiny, row);
        return
        [
            Figure("sites.untouched, no hooks", 0, calls, "calls"),
            Figure("sites.untouched, hooks elsewhere", 1, calls, "calls"),
            Figure("sites.untouched, fused layer", 2, GPT2Checkpoint.Tiny.NumLayers, "layers"),
            new("sites.tiny forward", ratio.Median, "x",
                $"plain TorchSharp on the tiny shape, {1e6 * forwards.Time(1).Median:0} us (± {ratio.Margin:0.000} x)"),
        ];

        void CallModule()
        {
            object value = module;
            for (int i = 0; i < Calls; i++) value = module.Call(value);
        }

        void AskLayer()
        {
            for (int i = 0; i < Calls; i++) SiteHook.HasHooksInside(layer);
        }

        void WithHooks(Action action)
        {
            using var registration = SiteHook.Register(noHooks);
            action();
        }

        Measurement Figure(string name, int candidate, int number, string what)
        {
            Best call = 1e9 / Calls * times.Time(candidate);
            return new(name, call.Value, "ns/call",
                $"nothing: the best of all runs of {Calls:N0} calls, {call.Range} ns in five parts; the {number} {what} are "
                + $"{100e-9 * number * call.Value / forward:0.0000} % of GPT-2-small's forward of {Tokens} tokens, {1e3 * forward:0.0} ms");
        }
    }

    /// <summary>
    /// The instrumented copies of all forwards without hooks on operations, relative to the plain forwards, both with a hook on the module;
    /// and the copies with a hook on every operation that only runs it. Without hooks, the plain forwards run: see sites.untouched.
    /// </summary>
    private IReadOnlyList<Measurement> MeasureOperations(RunSettings settings)
    {
        LoadedModel tiny = _tiny.Value;
        using var row = new PromptInput(GPT2Checkpoint.Tiny.Prompt(Tokens));
        var counter = new OperationCountingHook();
        SiteHook?[] moduleHooks = CreateHooks(_ => new PassThroughHook(null));
        SiteHook?[] copyHooks =
            CreateHooks(tree => new PassThroughHook(SourceHooks.Create(tree, new Dictionary<int, SourceOperationHook>())));
        SiteHook?[] operationHooks = CreateHooks(tree => new PassThroughHook(SourceHooks.Create(tree,
            Enumerable.Range(0, tree.Sites.Count).Where(i => tree.Sites[i].Function == tree.Root)
            .ToDictionary(i => i, _ => (SourceOperationHook)counter))));
        Run(operationHooks);
        int operations = counter.Calls;
        BestTimes times = BestTimes.Measure(settings.RoundCount(5000), Warmup, () => Run(moduleHooks), () => Run(copyHooks),
            () => Run(operationHooks));
        double forward = MeasureForward(settings);
        return
        [
            Figure("sites.operation, copy", 1, 0, "the plain forwards, observed as modules only"),
            Figure("sites.operation, watched", 2, 1, "the instrumented copies with nothing watched"),
        ];

        SiteHook?[] CreateHooks(Func<SourceTree, SiteHook> createHook) =>
            [.. tiny.Modules.Select(m => m.Source is { } source ? createHook(SourceTree.Of(source)) : null)];

        void Run(SiteHook?[] hooks)
        {
            using var registration = SiteHook.Register(hooks);
            row.Run(tiny);
        }

        Measurement Figure(string name, int candidate, int baseline, string baselineName)
        {
            Best operation = 1e6 / operations * times.Difference(candidate, baseline);
            return new(name, operation.Value, "us/operation",
                $"{baselineName}, best of all runs, {operation.Range} us in five parts; the {operations} operations are "
                + $"{100e-6 * operations * operation.Value / forward:0.00} % of GPT-2-small's forward of {Tokens} tokens");
        }
    }

    /// <summary>The seconds of a forward pass of GPT-2-small.</summary>
    private double MeasureForward(RunSettings settings)
    {
        using var row = new PromptInput(GPT2Checkpoint.Small.Prompt(Tokens));
        return InterleavedTimings.Measure(settings.RoundCount(50), warmup: 2, () => row.Run(_small.Value)).Time(0).Median;
    }

    /// <summary>The number of module calls in one forward pass.</summary>
    private static int CountCalls(LoadedModel model, PromptInput row)
    {
        var counter = new CallCountingHook();
        SiteHook?[] counters = [.. model.Modules.Select(_ => counter)];
        using var registration = SiteHook.Register(counters);
        row.Run(model);
        return counter.Calls;
    }

    /// <summary>A module whose forward returns its argument, with the call that every module has.</summary>
    private sealed class PassThroughModule : SiteModule
    {
        public object Call(object value) => Hook is { } hook ? CallHooked<object>(hook, new Arguments(value)) : value;

        public override object? Run(Arguments arguments) => arguments.First;
    }

    private sealed class CallCountingHook : SiteHook
    {
        public int Calls { get; private set; }

        public override object? Call(SiteModule module, Arguments arguments)
        {
            Calls++;
            return module.Run(arguments);
        }
    }

    private sealed class PassThroughHook(SourceHooks? operations) : SiteHook
    {
        public override object? Call(SiteModule module, Arguments arguments) =>
            operations is null ? module.Run(arguments) : module.RunWithHooks(operations, arguments);
    }

    private sealed class OperationCountingHook : SourceOperationHook
    {
        public int Calls { get; private set; }

        public override object? Call(Arguments arguments, Func<Arguments, object?> run)
        {
            Calls++;
            return run(arguments);
        }
    }
}
