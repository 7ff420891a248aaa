using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.HookedModels;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The overhead of sites: in microseconds on a model of 12 layers with almost no arithmetic, where it is measurable, and then as a fraction
/// of a forward pass of GPT-2-small over 10 tokens.
/// </summary>
internal sealed class SitesGroup : BenchmarkGroup
{
    private const int Tokens = 10, Warmup = 300;

    private readonly Lazy<LoadedModel> _small = new(GPT2Checkpoint.Small.Load);
    private readonly Lazy<LoadedModel> _tiny = new(GPT2Checkpoint.Tiny.Load);

    public override string Name => "Sites";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        Benchmark.Of("sites.untouched", MeasureUnhooked),
        Benchmark.Of("sites.saved", MeasureSavedValue),
        Benchmark.Of("sites.operations", MeasureOperations),
    ];

    public override ValueTask DisposeAsync()
    {
        if (_small.IsValueCreated) _small.Value.Dispose();
        if (_tiny.IsValueCreated) _tiny.Value.Dispose();
        return base.DisposeAsync();
    }

    /// <summary>
    /// Modules without hooks: with an array of hooks that is empty, without an array, and in plain TorchSharp, which has no sites.
    /// </summary>
    private IReadOnlyList<Measurement> MeasureUnhooked(RunSettings settings)
    {
        LoadedModel tiny = _tiny.Value;
        using var plain = new PlainGPT2(tiny, GPT2Checkpoint.Tiny);
        using var row = new PromptInput(GPT2Checkpoint.Tiny.Prompt(Tokens));
        var noHooks = new SiteHook?[tiny.Modules.Count];
        int calls = CountCalls(tiny, row);
        InterleavedTimings times = InterleavedTimings.Measure(settings.RoundCount(5000), Warmup,
            () => row.Run(tiny),
            () =>
            {
                using var registration = SiteHook.Register(noHooks);
                row.Run(tiny);
            },
            () => row.Run(plain));
        double forward = MeasureForward(settings);
        Estimate ratio = times.Ratio(0, 2);
        return
        [
            Figure("sites.untouched, observer array", 1, 0, "the same without an observer array"),
            Figure("sites.untouched, all", 0, 2, "plain TorchSharp"),
            new("sites.tiny forward", ratio.Median, "x",
                $"plain TorchSharp on the tiny shape, {1e6 * times.Time(2).Median:0} us (± {ratio.Margin:0.000} x)"),
        ];

        Measurement Figure(string name, int candidate, int baseline, string baselineName)
        {
            Estimate difference = times.Difference(candidate, baseline);
            return new(name, 1e6 * difference.Median / calls, "us/call",
                $"{baselineName} (± {1e6 * difference.Margin / calls:0.000} us; the {calls} calls are "
                + $"{100 * difference.Median / forward:0.00} % of GPT-2-small's forward of {Tokens} tokens, {1e3 * forward:0.0} ms)");
        }
    }

    /// <summary>A trace that saves the hidden states of every layer, one that saves those of the first layer, and no trace.</summary>
    private IReadOnlyList<Measurement> MeasureSavedValue(RunSettings settings)
    {
        var hookedModel = new HookedLanguageModel(_tiny.Value); // the group disposes the model
        long[] prompt = GPT2Checkpoint.Tiny.Prompt(Tokens);
        int layers = GPT2Checkpoint.Tiny.NumLayers;
        var allLayers = new SavedLayersRun(hookedModel, GPT2Checkpoint.Tiny.Folder(), prompt, layers);
        var oneLayer = new SavedLayersRun(hookedModel, GPT2Checkpoint.Tiny.Folder(), prompt, 1);
        using var row = new PromptInput(prompt);
        InterleavedTimings times =
            InterleavedTimings.Measure(settings.RoundCount(5000), Warmup, allLayers.Run, oneLayer.Run, () => row.Run(_tiny.Value));
        Estimate remaining = times.Difference(0, 1), first = times.Difference(1, 2);
        double each = remaining.Median / (layers - 1), forward = MeasureForward(settings);
        return
        [
            new("sites.saved value", 1e6 * each, "us/value",
                $"{layers} saved layers against 1 (± {1e6 * remaining.Margin / (layers - 1):0.00} us; {100 * each / forward:0.000} % of "
                + $"GPT-2-small's forward of {Tokens} tokens, {1e3 * forward:0.0} ms)"),
            new("sites.trace", 1e6 * first.Median, "us/run",
                $"a compiled trace with one saved value against the forward alone (± {1e6 * first.Margin:0.0} us; "
                + $"{100 * first.Median / forward:0.00} % of that forward)"),
        ];
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
        InterleavedTimings times =
            InterleavedTimings.Measure(settings.RoundCount(5000), Warmup, () => Run(moduleHooks), () => Run(copyHooks),
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
            Estimate difference = times.Difference(candidate, baseline);
            return new(name, 1e6 * difference.Median / operations, "us/operation",
                $"{baselineName} (± {1e6 * difference.Margin / operations:0.000} us; the {operations} operations are "
                + $"{100 * difference.Median / forward:0.00} % of GPT-2-small's forward of {Tokens} tokens)");
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
