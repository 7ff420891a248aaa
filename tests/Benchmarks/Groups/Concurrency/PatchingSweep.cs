using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Server;
using Ndif.Tests.Support.Service;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// Activation patching at every layer and position of a prompt of 15 tokens on GPT-2-small, through a service in this process: as a
/// loop of awaited traces, as traces that are all open at once (<c>Task.WhenAll</c>), as one session of such traces, and as one session
/// whose traces patch all positions of a layer in one pass. The values are compared first. A quick run patches three layers.
/// </summary>
internal sealed class PatchingSweep
{
    private const int Tokens = 15, Target = 17;
    private const string WholePasses = "as many whole passes without programs";

    private readonly LanguageModel _llm;
    private readonly int[] _layers;
    private readonly long[] _clean = GPT2Checkpoint.Small.Prompt(Tokens), _corrupt = GPT2Checkpoint.Small.Prompt(Tokens);

    private PatchingSweep(LanguageModel llm, int[] layers)
    {
        (_llm, _layers) = (llm, layers);
        _corrupt[4] += 100;
    }

    public static async Task<IReadOnlyList<Measurement>> Measure(RunSettings settings, CancellationToken cancellationToken)
    {
        string folder = GPT2Checkpoint.Small.Folder();
        await using LoopbackService service =
            await LoopbackService.StartAsync(folder, cancellationToken, new Tier(JobsPerMinute: 1_000_000));
        var llm = new LanguageModel(folder, remote: Backend.At(service.Address.ToString(), service.Key));
        var sweep = new PatchingSweep(llm, settings.IsQuick ? [1, 6, 11] : [.. Enumerable.Range(0, GPT2Checkpoint.Small.NumLayers)]);
        float[] loop = await sweep.LoopAsync(), traces = await sweep.SessionAsync(), batched = await sweep.BatchedSessionAsync(),
            concurrent = await sweep.ConcurrentAsync();
        foreach (float[] other in (float[][])[traces, batched, concurrent])
            if (loop.Zip(other).Max(pair => Math.Abs(pair.First - pair.Second)) is var difference and not <= 1e-4f)
                throw new InvalidOperationException($"The sweeps' logits differ by {difference}.");

        using LoadedModel model = GPT2Checkpoint.Small.Load();
        using var row = new PromptInput(sweep._corrupt);
        InterleavedTimings times = await InterleavedTimings.MeasureAsync(settings.IsQuick ? 3 : 8, warmup: 0, cancellationToken,
            sweep.LoopAsync, sweep.SessionAsync, sweep.BatchedSessionAsync, () =>
            {
                for (int i = 0; i < loop.Length; i++) row.Run(model);
                return Task.CompletedTask;
            }, sweep.ConcurrentAsync);
        string size = $"{loop.Length} patches of {Tokens} tokens";
        return
        [
            Figure("loop of awaited traces", 0, 2, $"one session that patches all positions of a layer in a pass; {size}", new Goal(1.5)),
            Figure("session of traces, speed", 3, 1, $"{WholePasses}, one after the other; {size}", Goal.AtLeast(3)),
            Figure("loop of awaited traces, speed", 3, 0, WholePasses),
            Figure("traces open at once, speed", 3, 4, WholePasses),
            Figure("batched session, speed", 3, 2, WholePasses),
        ];

        Measurement Figure(string what, int candidate, int baseline, string baselineName, Goal? goal = null)
        {
            Estimate ratio = times.Ratio(candidate, baseline);
            return new($"concurrency.sweep, {what}", ratio.Median, "x",
                $"{baselineName}, {times.Time(goal is { IsMinimum: false } ? baseline : 3).Median:0.00} s (± {ratio.Margin:0.00} x)", goal);
        }
    }

    /// <summary>A trace for each patch; the clean run's hidden states are here and are sent along.</summary>
    private async Task<float[]> LoopAsync()
    {
        List<float> logits = [];
        foreach (Func<Task<Saved>> patch in await RecordPatchesAsync()) logits.Add((await patch()).Item<float>());
        return [.. logits];
    }

    /// <summary>The same traces, all sent before the first one has ended.</summary>
    private async Task<float[]> ConcurrentAsync() =>
        [.. (await Task.WhenAll((await RecordPatchesAsync()).Select(patch => patch()))).Select(logit => logit.Item<float>())];

    private async Task<List<Func<Task<Saved>>>> RecordPatchesAsync()
    {
        List<Saved> clean = await _llm.TraceAsync(_clean, _ => _layers.Select(layer => _llm.Layers[layer].Hidden.Save()).ToList());
        List<Func<Task<Saved>>> patches = [];
        for (int i = 0; i < _layers.Length; i++)
        {
            float[] hidden = clean[i].Tensor.ToArray<float>();
            int size = hidden.Length / Tokens, layer = _layers[i];
            for (int at = 0; at < Tokens; at++)
            {
                int position = at;
                float[] patch = hidden[(position * size)..((position + 1) * size)];
                patches.Add(() => _llm.TraceAsync(_corrupt, _ =>
                {
                    _llm.Layers[layer].Hidden[.., position] = patch;
                    return _llm.Logits[0, ^1, Target].Save();
                }));
            }
        }
        return patches;
    }

    /// <summary>The same traces as one job.</summary>
    private Task<float[]> SessionAsync() => RunSessionAsync((layer, clean, logits) =>
    {
        for (int position = 0; position < Tokens; position++)
        {
            using Trace trace = _llm.Trace(_corrupt);
            _llm.Layers[layer].Hidden[.., position] = clean[.., position];
            logits.Add(_llm.Logits[0, ^1, Target].Save());
        }
    });

    /// <summary>A trace for each layer with an invoke for each position.</summary>
    private Task<float[]> BatchedSessionAsync() => RunSessionAsync((layer, clean, logits) =>
    {
        using Trace trace = _llm.Trace();
        for (int position = 0; position < Tokens; position++)
        {
            using (trace.Invoke(_corrupt))
            {
                _llm.Layers[layer].Hidden[.., position] = clean[.., position];
                logits.Add(_llm.Logits[0, ^1, Target].Save());
            }
        }
    });

    /// <summary>A session with the runs without a patch first, as a sweep needs them for its scale.</summary>
    private async Task<float[]> RunSessionAsync(Action<int, Value, List<Saved>> patchLayer)
    {
        List<Saved> logits = [];
        using Session session = _llm.Session();
        Value[] clean;
        using (_llm.Trace(_clean)) clean = [.. _layers.Select(layer => _llm.Layers[layer].Hidden.Clone())];
        using (_llm.Trace(_corrupt)) _llm.Logits[0, ^1, Target].Save();
        for (int i = 0; i < _layers.Length; i++) patchLayer(_layers[i], clean[i], logits);
        await session.RunAsync();
        return [.. logits.Select(logit => logit.Item<float>())];
    }
}
