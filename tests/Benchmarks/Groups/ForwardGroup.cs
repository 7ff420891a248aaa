using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.HookedModels;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The time of a forward pass of GPT-2-small without a program, and with a program that saves the hidden states of one layer. The baseline
/// is the same forward pass in plain TorchSharp with the same weights. The outputs of both models are compared first.
/// </summary>
internal sealed class ForwardGroup : BenchmarkGroup
{
    private readonly Lazy<(LoadedModel Model, PlainGPT2 Plain, HookedLanguageModel HookedModel)> _small = new(() =>
    {
        LoadedModel model = GPT2Checkpoint.Small.Load();
        return (model, new PlainGPT2(model, GPT2Checkpoint.Small), new HookedLanguageModel(model));
    });

    public override string Name => "Forward";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        Benchmark.Of("forward.10 tokens", settings => Measure(10, settings.RoundCount(200), 1.05)),
        Benchmark.Of("forward.512 tokens", settings => Measure(512, settings.RoundCount(40), 1.02)),
    ];

    public override ValueTask DisposeAsync()
    {
        if (_small.IsValueCreated)
        {
            _small.Value.Plain.Dispose();
            _small.Value.HookedModel.Dispose();
        }
        return base.DisposeAsync();
    }

    private IReadOnlyList<Measurement> Measure(int tokens, int rounds, double goal)
    {
        var (model, plain, hookedModel) = _small.Value;
        long[] prompt = GPT2Checkpoint.Small.Prompt(tokens);
        using var row = new PromptInput(prompt);
        var (difference, largest) = row.Compare(model, plain);
        if (!(difference <= 1e-5 * largest))
            throw new InvalidOperationException($"The two models' logits differ by {difference}: they cannot be compared.");

        var traced = new SavedLayersRun(hookedModel, GPT2Checkpoint.Small.Folder(), prompt);
        InterleavedTimings times = InterleavedTimings.Measure(rounds, warmup: 2, () => row.Run(model), () => row.Run(plain), traced.Run);
        Estimate ratio = times.Ratio(0, 1), processor = times.ProcessorRatio(0, 1), engine = times.Ratio(2, 0);
        return
        [
            new($"forward.{tokens} tokens", ratio.Median, "x",
                $"plain TorchSharp, {1e3 * times.Time(1).Median:0.0} ms (± {ratio.Margin:0.000} x; logits differ by {difference:0.0e0})",
                new Goal(goal)),
            new($"forward.{tokens} tokens, processor time", processor.Median, "x",
                $"plain TorchSharp's, of all threads (± {processor.Margin:0.000} x)"),
            new($"forward.{tokens} tokens, engine", engine.Median, "x",
                $"our model without a program, {1e3 * times.Time(0).Median:0.0} ms (± {engine.Margin:0.000} x); the logits are "
                + "saved"),
        ];
    }
}
