using Ndif.Benchmarks.Harness;
using Ndif.Benchmarks.Subjects;
using Ndif.Engine.Subjects;
using Ndif.Models;
using static System.FormattableString;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// What sites cost, in microseconds on a model of 12 layers with almost no arithmetic, where it shows; and as a part of the forward of
/// GPT-2-small at 10 tokens, which is done after it.
/// </summary>
internal sealed class Sites : Group
{
    private const int Tokens = 10, Warm = 300;

    private readonly Lazy<LoadedModel> _small = new(GPT2Shape.Small.Load);
    private readonly Lazy<LoadedModel> _tiny = new(GPT2Shape.Tiny.Load);

    public override string Name => "Sites";

    public override IReadOnlyList<Entry> Entries =>
    [
        Entry.Of("sites.untouched", Untouched),
        Entry.Of("sites.saved", Saved),
        Entry.Of("sites.operations", Operations),
    ];

    public override ValueTask DisposeAsync()
    {
        if (_small.IsValueCreated) _small.Value.Dispose();
        if (_tiny.IsValueCreated) _tiny.Value.Dispose();
        return base.DisposeAsync();
    }

    /// <summary>A module nobody watches: with an empty observer array against none, and against code that has no sites at all.</summary>
    private IReadOnlyList<Figure> Untouched(Pace pace)
    {
        LoadedModel tiny = _tiny.Value;
        using var plain = new PlainGPT2(tiny, GPT2Shape.Tiny);
        using var row = new PromptRow(GPT2Shape.Tiny.Prompt(Tokens));
        var nobody = new SiteObserver?[tiny.Modules.Count];
        int calls = Count(tiny, row);
        Rounds times = Rounds.Take(pace.Rounds(5000), Warm,
            () => row.Run(tiny),
            () =>
            {
                using var watching = SiteObserver.Watch(nobody);
                row.Run(tiny);
            },
            () => row.Run(plain));
        double forward = Forward(pace);
        Estimate ratio = times.Ratio(0, 2);
        return
        [
            Figure("sites.untouched, observer array", 1, 0, "the same without an observer array"),
            Figure("sites.untouched, all", 0, 2, "plain TorchSharp"),
            new("sites.tiny forward", ratio.Median, "x", Invariant(
                $"plain TorchSharp on the tiny shape, {1e6 * times.Time(2).Median:0} us (± {ratio.Margin:0.000} x)")),
        ];

        Figure Figure(string name, int thing, int rival, string against)
        {
            Estimate difference = times.Difference(thing, rival);
            return new(name, 1e6 * difference.Median / calls, "us/call", Invariant(
                $"{against} (± {1e6 * difference.Margin / calls:0.000} us; the {calls} calls are {100 * difference.Median / forward:0.00} % of GPT-2-small's forward of {Tokens} tokens, {1e3 * forward:0.0} ms)"));
        }
    }

    /// <summary>A trace that saves every layer's hidden state, against one that saves the first's, against none.</summary>
    private IReadOnlyList<Figure> Saved(Pace pace)
    {
        var subject = new LanguageSubject(_tiny.Value); // the model is the group's to dispose
        long[] prompt = GPT2Shape.Tiny.Prompt(Tokens);
        int most = GPT2Shape.Tiny.Layers;
        var all = new SavingRun(subject, GPT2Shape.Tiny.Folder(), prompt, most);
        var one = new SavingRun(subject, GPT2Shape.Tiny.Folder(), prompt, 1);
        using var row = new PromptRow(prompt);
        Rounds times = Rounds.Take(pace.Rounds(5000), Warm, all.Run, one.Run, () => row.Run(_tiny.Value));
        Estimate more = times.Difference(0, 1), first = times.Difference(1, 2);
        double each = more.Median / (most - 1), forward = Forward(pace);
        return
        [
            new("sites.saved value", 1e6 * each, "us/value", Invariant(
                $"{most} saved layers against 1 (± {1e6 * more.Margin / (most - 1):0.00} us; {100 * each / forward:0.000} % of GPT-2-small's forward of {Tokens} tokens, {1e3 * forward:0.0} ms)")),
            new("sites.trace", 1e6 * first.Median, "us/run", Invariant(
                $"a compiled trace with one saved value against the forward alone (± {1e6 * first.Margin:0.0} us; {100 * first.Median / forward:0.00} % of that forward)")),
        ];
    }

    /// <summary>
    /// The instrumented copies of all forwards with no operation watched, against the forwards themselves, both behind an observer; and
    /// with every operation watched by an observer that only computes it. Where nobody looks, the plain forwards run: sites.untouched.
    /// </summary>
    private IReadOnlyList<Figure> Operations(Pace pace)
    {
        LoadedModel tiny = _tiny.Value;
        using var row = new PromptRow(GPT2Shape.Tiny.Prompt(Tokens));
        var counter = new OperationCounter();
        SiteObserver?[] observed = Everywhere(_ => new Passing(null));
        SiteObserver?[] copies = Everywhere(tree => new Passing(WatchedSource.Of(tree, new Dictionary<int, OperationObserver>())));
        SiteObserver?[] watched = Everywhere(tree => new Passing(WatchedSource.Of(tree,
            Enumerable.Range(0, tree.Sites.Count).Where(i => tree.Sites[i].Function == tree.Root).ToDictionary(i => i, _ => (OperationObserver)counter))));
        Run(watched);
        int operations = counter.Calls;
        Rounds times = Rounds.Take(pace.Rounds(5000), Warm, () => Run(observed), () => Run(copies), () => Run(watched));
        double forward = Forward(pace);
        return
        [
            Figure("sites.operation, copy", 1, 0, "the plain forwards, observed as modules only"),
            Figure("sites.operation, watched", 2, 1, "the instrumented copies with nothing watched"),
        ];

        SiteObserver?[] Everywhere(Func<SourceTree, SiteObserver> observer) =>
            [.. tiny.Modules.Select(m => m.Source is { } source ? observer(SourceTree.Of(source)) : null)];

        void Run(SiteObserver?[] observers)
        {
            using var watching = SiteObserver.Watch(observers);
            row.Run(tiny);
        }

        Figure Figure(string name, int thing, int rival, string against)
        {
            Estimate difference = times.Difference(thing, rival);
            return new(name, 1e6 * difference.Median / operations, "us/operation", Invariant(
                $"{against} (± {1e6 * difference.Margin / operations:0.000} us; the {operations} operations are {100 * difference.Median / forward:0.00} % of GPT-2-small's forward of {Tokens} tokens)"));
        }
    }

    /// <summary>Seconds of a forward of GPT-2-small.</summary>
    private double Forward(Pace pace)
    {
        using var row = new PromptRow(GPT2Shape.Small.Prompt(Tokens));
        return Rounds.Take(pace.Rounds(50), before: 2, () => row.Run(_small.Value)).Time(0).Median;
    }

    /// <summary>Calls of modules in one forward.</summary>
    private static int Count(LoadedModel model, PromptRow row)
    {
        var counter = new Counter();
        SiteObserver?[] everywhere = [.. model.Modules.Select(_ => counter)];
        using var watching = SiteObserver.Watch(everywhere);
        row.Run(model);
        return counter.Calls;
    }

    private sealed class Counter : SiteObserver
    {
        public int Calls { get; private set; }

        public override object? Call(SiteModule module, Arguments arguments)
        {
            Calls++;
            return module.Run(arguments);
        }
    }

    private sealed class Passing(WatchedSource? operations) : SiteObserver
    {
        public override object? Call(SiteModule module, Arguments arguments) =>
            operations is null ? module.Run(arguments) : module.RunWatched(operations, arguments);
    }

    private sealed class OperationCounter : OperationObserver
    {
        public int Calls { get; private set; }

        public override object? Call(Arguments arguments, Func<Arguments, object?> run)
        {
            Calls++;
            return run(arguments);
        }
    }
}
