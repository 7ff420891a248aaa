using Ndif.Engine.Batching;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Reuse;

/// <summary>
/// Takes the outputs of the first layers of a pass from earlier passes over the same prompts (<see cref="LayerOutputCache"/>), and adds
/// those of this pass.
/// 1. A trace reads and edits the model at the hook points of its program. A layer need not run if none is at its input or inside of it
///    and nothing before it may be edited: at its output, the program sees the output of the earlier pass.
/// 2. A pass reuses as many layers as all of its traces allow and all of its prompts have.
/// 3. The output of a layer that runs is kept as long as no invoke of the trace has edited anything.
/// </summary>
/// <remarks>A pass that builds an autograd graph, generates, shows padding, or has a mask of the user is computed whole.</remarks>
internal sealed class LayerReuse : IDisposable
{
    private readonly HookedLanguageModel _model;
    private readonly LayerOutputCache _cache;
    private readonly List<(TraceRows Trace, LayerOutputCache.Entry[] Entries)> _prompts;

    private LayerReuse(HookedLanguageModel model, LayerOutputCache cache, IReadOnlyList<TraceRows> traces)
    {
        (_model, _cache) = (model, cache);
        cache.BeginPass();
        _prompts = [.. traces.Select(trace =>
            (trace, trace.Rows.Select(row => cache.Touch(trace.Trace.Job.Owner, row.InputIds)).ToArray()))];
        LayerCount = _prompts.Min(prompt =>
            Math.Min(FirstHookedLayer(model, prompt.Trace.Trace), prompt.Entries.Min(entry => entry.Outputs.Count)));
    }

    /// <summary>The number of first layers that do not run.</summary>
    public int LayerCount { get; }

    /// <summary>Prepares a pass over prompts; null if it is computed whole.</summary>
    public static LayerReuse? TryCreate(HookedLanguageModel model, LayerOutputCache? cache, IReadOnlyList<TraceRows> traces) =>
        cache is { MaxBytes: > 0 } && traces.All(trace => CanReuse(trace, cache)) ? new LayerReuse(model, cache, traces) : null;

    /// <summary>The output of a layer that does not run; null if it runs.</summary>
    /// <param name="module">The module index.</param>
    /// <param name="isObserved">Whether a program has a hook point at the output.</param>
    public object?[]? TryGetOutput(int module, Arguments arguments, bool isObserved)
    {
        if (_model.LayerOf(module) is not { } layer || layer >= LayerCount || _model.Layers[layer] != module) return null;
        torch.Tensor hidden = arguments.Tensor(0, "hidden_states"); // [batch, seq, hidden]
        if (!isObserved && layer < LayerCount - 1) return [hidden.alias()]; // only layers that do not run either receive it
        torch.Tensor output = torch.zeros_like(hidden); // [batch, seq, hidden]
        foreach (var (trace, entries) in _prompts)
            for (int i = 0; i < entries.Length; i++)
                using (torch.Tensor row = RowOf(output, trace, i, entries[i].Outputs[layer].size(0))) row.copy_(entries[i].Outputs[layer]);
        return [output];
    }

    /// <summary>Keeps the output of a layer that has run, if it is what the prompts give without edits.</summary>
    public void AddOutput(int module, object? output)
    {
        if (_model.LayerOf(module) is not { } layer || layer < LayerCount || _model.Layers[layer] != module) return;
        if (output is not object?[] { Length: 1 } tuple || tuple[0] is not torch.Tensor hidden) return; // [batch, seq, hidden]
        foreach (var (trace, entries) in _prompts.Where(prompt => !prompt.Trace.Trace.Invokes.Any(invoke => invoke.HasEditedCache)))
            for (int i = 0; i < entries.Length; i++)
                if (entries[i].Outputs.Count == layer)
                    using (torch.Tensor row = RowOf(hidden, trace, i, trace.Rows[i].InputIds.Length)) _cache.Add(entries[i], row);
    }

    /// <summary>Ends the pass.</summary>
    public void Dispose() => _cache.EndPass();

    /// <summary>The tokens of a prompt, without padding: [seq, hidden].</summary>
    private static torch.Tensor RowOf(torch.Tensor hidden, TraceRows trace, int index, long tokens)
    {
        using torch.Tensor row = hidden.select(0, trace.FirstRow + index); // [seq with padding, hidden]
        return row.narrow(0, row.size(0) - tokens, tokens);
    }

    private static bool CanReuse(TraceRows trace, LayerOutputCache cache) =>
        (cache.IsShared || trace.Trace.Job.Plan.HasSeveralTraces) && trace.RowCount > 0 && !trace.IsGenerating
        && !trace.Trace.RequiresGrad && trace.Rows.All(row => row.AttentionMask is null) && !trace.HasVisiblePadding;

    /// <summary>The first layer that has to run for the values that a trace reads, and after those that it may edit.</summary>
    private static int FirstHookedLayer(HookedLanguageModel model, TraceRun trace) =>
        trace.Job.Plan.HookPointsOf(trace.Statement).Select(use => model.FirstLayerThatRuns(use.Point, use.MayEdit))
            .Append(model.Layers.Count).Min();
}
