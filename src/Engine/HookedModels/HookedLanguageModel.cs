using Ndif.Engine.Batching;
using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Reuse;
using Ndif.Models;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Running;
using Ndif.Tokenizers;
using TorchSharp;

namespace Ndif.Engine.HookedModels;

/// <summary>A language model of one of the built-in architectures, with its tokenizer.</summary>
internal sealed class HookedLanguageModel : HookedModel, IDisposable
{
    private readonly LoadedModel _model;
    private readonly Lazy<HuggingFaceTokenizer> _tokenizer;
    private readonly int?[] _layerOfModule;
    private readonly SiteModule? _lmHead;
    private readonly HashSet<int> _fusedForwards;
    private (long PerToken, long PerRow)? _cacheBytes;

    /// <param name="model">Owned by this object.</param>
    public HookedLanguageModel(LoadedModel model)
    {
        _model = model;
        Paths = [.. model.Modules.Select(m => m.Path), GeneratorSites.Generator, GeneratorSites.Streamer];
        _lmHead = model.Root.LmHead;
        CancellationPoints = [.. model.Modules.Where(m => m.IsList).SelectMany(m => m.Children).Append(_lmHead ?? model.Root)
            .Select(m => m.Index)];
        Layers = [.. model.Modules.Single(m => m.Path == model.Root.Names.Layers).Children.Select(m => m.Index)];
        _fusedForwards = [.. model.Modules.OfType<IFusedExperts>().Select(experts => experts.FusedForward.Index)];
        _layerOfModule = new int?[model.Modules.Count];
        for (int layer = 0; layer < Layers.Count; layer++)
            for (int module = Layers[layer]; module <= model.Modules[Layers[layer]].LastDescendantIndex; module++)
                _layerOfModule[module] = layer;
        _tokenizer = new(() => ModelTokenizer.Read(Description));
    }

    public override ModelDescription Description => _model.Description;

    public override torch.Device Device => _model.Device;

    public override torch.ScalarType DType => _model.DType;

    public override IReadOnlyList<string> Paths { get; }

    public override IReadOnlyList<int> CancellationPoints { get; }

    /// <summary>The module indices of the decoder layers.</summary>
    internal IReadOnlyList<int> Layers { get; }

    /// <summary>The module index of the output projection; null if the model has none.</summary>
    internal int? LmHead => _lmHead?.Index;

    /// <summary>The decoder layer that is this module or contains it; null if it is outside of the layers.</summary>
    internal int? LayerOf(int module) => module < _layerOfModule.Length ? _layerOfModule[module] : null;

    /// <summary>Whether a program sees logits at a hook point, or the argument that limits them.</summary>
    internal bool ShowsLogits(HookPoint point) => !point.IsDefined
        && (point.Module == 0 || _lmHead is { } head && point.Module >= head.Index && point.Module <= head.LastDescendantIndex);

    /// <summary>Whether a hook point is in the model, not in a module of the program or in the loop of a generation.</summary>
    internal bool IsInModel(HookPoint point) => !point.IsDefined && point.Module < _model.Modules.Count;

    internal bool IsLayerOutput(HookPoint point) => IsOfLayer(point) && point.IsAfter;

    internal bool IsLayerInput(HookPoint point) => IsOfLayer(point) && !point.IsAfter;

    private bool IsOfLayer(HookPoint point) => point is { IsDefined: false, IsOperation: false }
        && LayerOf(point.Module) is { } layer && Layers[layer] == point.Module;

    internal bool ReturnsTensor(int module) => _model.Modules[module].ReturnsTensor;

    /// <summary>
    /// Whether the first tensor of a module's output, or its first argument, is [batch, seq, ...]: modules inside of layers, and the
    /// outputs of the embedding and the final norm.
    /// </summary>
    internal bool HasTokenDimension(HookPoint point, SiteKind kind)
    {
        if (point.IsOperation || kind is SiteKind.Inputs) return false;
        string path = Paths[point.Module];
        bool isEmbeddingOrNorm = path.Length > 0 && (path == Root.Names.FinalNorm || path == Root.Names.Embed);
        if (LayerOf(point.Module) is null && !(point.IsAfter && isEmbeddingOrNorm)) return false;
        return point.IsAfter ? OutputAxes(point.Module, 0) == Axes.Hidden
            : InputAxes(point.Module, "0") == Axes.Hidden && InputAxes(point.Module, "hidden_states") == Axes.Hidden;
    }

    /// <summary>The first layer that has to run so that a program finds its value at a hook point, and after an edit of it.</summary>
    internal int FirstLayerThatRuns(HookPoint point, bool mayEdit)
    {
        if (point.IsDefined || point.Module >= _model.Modules.Count) return Layers.Count;
        bool isOutput = point is { IsAfter: true, IsOperation: false };
        if (LayerOf(point.Module) is { } layer) 
            return !IsLayerOutput(point) ? layer : mayEdit ? layer + 1 : Layers.Count;
        string path = Paths[point.Module];
        bool isAfterLayers = path.Length > 0 && path == Root.Names.FinalNorm || path == _lmHead?.Path
            || isOutput && (path.Length == 0 || path == Root.BaseModelPrefix);
        return isAfterLayers ? Layers.Count : 0;
    }

    /// <summary>
    /// The number of tokens per chunk in which long prompts of a generation run, which bounds the memory of scores and logits. If a
    /// program has a site in the model, prompts run whole. Default: 0, always whole.
    /// </summary>
    public int PrefillChunkSize { get; init; }

    /// <summary>Receives what a user of the model should know; each warning once.</summary>
    public Action<string>? OnWarning { get; init; }

    private bool _hasWarnedOfLongRow;

    /// <summary>Warns that a row is longer than the model's context; only the first time.</summary>
    internal void WarnOfLongRow(string warning)
    {
        if (Interlocked.Exchange(ref _hasWarnedOfLongRow, true)) return;
        OnWarning?.Invoke(warning);
    }

    /// <summary>The generation options that apply if the user sets none.</summary>
    internal GenerationDefaults Defaults => field ??= GenerationDefaults.Read(Description);

    /// <summary>
    /// The token before a shorter prompt: that of the tokenizer, as Hugging Face's tokenizers pad, then that of the model's files, then the
    /// end of a sequence.
    /// </summary>
    internal long PadTokenId => _padTokenId ??= FindPadTokenId();

    private long? _padTokenId;

    private long FindPadTokenId()
    {
        int? id = null, end = null;
        try
        {
            if (HasTokenizer) (id, end) = (Tokenizer.PadId, Tokenizer.EosId);
        }
        catch (NdifException)
        {
            // prompts of token ids need no tokenizer
        }
        return id ?? Defaults.PadTokenId ?? (Defaults.Options.Eos is { Count: > 0 } eos ? eos[0] : end ?? 0);
    }

    /// <summary>The module index of the streamer's site, which is not a module of the model.</summary>
    internal int StreamerIndex => Paths.Count - 1;

    internal bool HasTokenizer => ModelTokenizer.IsIn(Description);

    /// <exception cref="NdifException">BAD_TOKENIZER: the model has no tokenizer, or it cannot be read.</exception>
    internal HuggingFaceTokenizer Tokenizer
    {
        get
        {
            try
            {
                return _tokenizer.Value;
            }
            catch (TokenizerFormatException e)
            {
                throw Errors.CreateException(ErrorCode.BadTokenizer, e.Message, inner: e);
            }
        }
    }

    internal PreTrainedModel Root => _model.Root;

    public override Axes OutputAxes(int module, int element) =>
        module < _model.Modules.Count ? _model.Modules[module].OutputAxes(element) : Axes.Hidden;

    public override Axes InputAxes(int module, string argument) =>
        module < _model.Modules.Count ? _model.Modules[module].InputAxes(argument) : Axes.Hidden;

    public override SourceTree? Source(int module) => module < _model.Modules.Count && _model.Modules[module].Source is { } source
        ? SourceTree.Of(source) : null;

    internal override bool CanNarrow(HookPoint point) => point.IsOperation
        ? !_fusedForwards.Contains(point.Module)
            && Source(point.Module)!.Sites[point.Operation].CanBeSliced(_model.Modules[point.Module], point.IsAfter)
        : OutputAxes(point.Module, 0) is { IsKnown: true } || _model.Modules[point.Module].IsList;

    internal override Axes OutputAxes(HookPoint point, int element) => !point.IsOperation ? OutputAxes(point.Module, element)
        : Source(point.Module)!.Sites[point.Operation].OutputAxes(_model.Modules[point.Module], element);

    internal override Axes InputAxes(HookPoint point, string argument, int element) =>
        !point.IsOperation ? InputAxes(point.Module, argument)
        : Source(point.Module)!.Sites[point.Operation].InputAxes(_model.Modules[point.Module], argument, element);

    internal override bool IsAtEnd(HookPoint point) =>
        point is { IsAfter: true, IsOperation: false } && (point.Module == 0 || point.Module == LmHead);

    internal override bool AffectsCache(HookPoint point) => !point.IsDefined && point.Module < _model.Modules.Count
        && !(point.IsAfter && (Paths[point.Module].Length == 0 || Paths[point.Module] == Root.BaseModelPrefix))
        && Paths[point.Module] != Root.Names.FinalNorm && point.Module != LmHead;

    internal override IReadOnlyList<HookPoint> RoutingPoints => field ??= [.. _model.Modules.Where(module => module is IRoutingSource)
        .Select(module => new HookPoint(module.Index, ((IRoutingSource)module).IsInOutput))];

    internal override (torch.Tensor Indices, torch.Tensor Weights) RoutingOf(int module, IReadOnlyList<object?> values) =>
        ((IRoutingSource)_model.Modules[module]).RoutingOf(values);

    internal override bool IsVirtual(int module) => module < _model.Modules.Count && _model.Modules[module].IsVirtual;

    internal override void CheckTogether(IEnumerable<HookPoint> points)
    {
        HookPoint[] ofModel = [.. points.Where(IsInModel)];
        foreach (int expert in ofModel.Select(point => point.Module).Distinct())
        {
            // the experts run one by one then, and what the fused forward calls once for all does not run
            if (_model.Modules[expert] is not Expert { Parent: IFusedExperts experts }) continue;
            int? fused = ofModel.Where(point => point.IsOperation && point.Module == experts.FusedForward.Index
                || experts.FusedParts.Any(part => part.Index == point.Module)).Select(point => (int?)point.Module).FirstOrDefault();
            if (fused is not { } module) continue;
            throw Errors.CreateException(ErrorCode.InvalidProgram,
                $"`{Paths[expert]}` and {(module == experts.FusedForward.Index ? "an operation inside of " : "")}`{Paths[module]}` cannot "
                + "be used in one program: the experts run one by one for the first, and all together for the second.",
                "Use a trace of its own for each, not in one session.", Paths[expert]);
        }
    }

    /// <summary>The token ids of a prompt, special tokens included.</summary>
    /// <param name="second">The second text of a pair; null for one text.</param>
    public InputRow Encode(string prompt, string? second = null)
    {
        try
        {
            if (second is null) return new InputRow([.. _tokenizer.Value.Encode(prompt).Select(id => (long)id)], null);
            (IReadOnlyList<int> ids, IReadOnlyList<int> types) = _tokenizer.Value.EncodePair(prompt, second);
            return new InputRow([.. ids.Select(id => (long)id)], null,
                Root.TokenTypeCount > 0 ? [.. types.Select(type => (long)type)] : null);
        }
        catch (TokenizerFormatException e)
        {
            throw Errors.CreateException(ErrorCode.BadTokenizer, e.Message, inner: e);
        }
    }

    internal KeyValueCache NewCache() => _model.NewCache();

    internal override IPreparedTrace? Prepare(TraceRun trace) => LanguageModelBatch.Prepare(trace, this);

    internal override ITraceBatch? Start(
        IReadOnlyList<IPreparedTrace> traces, Action onPreemptionPoint, PrefixCache? prefixes) =>
        LanguageModelBatch.Prefill(this, [.. traces.Cast<TraceRows>()], onPreemptionPoint, IsOnMetaDevice ? null : prefixes);

    internal override bool SharesKeysOfLayers => Root.SharesKeysOfLayers;

    /// <remarks>Measured by a pass of one token, when it is first asked for.</remarks>
    internal override long CacheBytesPerToken => (_cacheBytes ??= MeasureCacheBytes()).PerToken;

    internal override long CacheBytesPerRow => (_cacheBytes ??= MeasureCacheBytes()).PerRow;

    private (long PerToken, long PerRow) MeasureCacheBytes()
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var registration = SiteHook.Register(null);
        using KeyValueCache cache = NewCache();
        torch.Tensor id = torch.zeros([1, 1], torch.ScalarType.Int64, Device);
        torch.Tensor mask = torch.ones_like(id);
        Root.Call(new(id, mask, id, cache, LogitsToKeep: 1) { DecoderInputIds = id, DecoderAttentionMask = mask });
        return ((cache.ByteCount - cache.StateByteCount) / KeyValueCache.CapacityOf(1), cache.StateByteCount);
    }

    private PassWidth? _passWidth, _graphWidth;

    /// <summary>The bytes that a pass over prompts takes at most, beside the cache.</summary>
    /// <param name="ofLastTokens">Whether it computes the logits of the last token of each row only.</param>
    /// <param name="hasGraph">Whether the values of all layers are kept for gradients.</param>
    internal double BytesOfPass(int rows, int seq, bool ofLastTokens, bool hasGraph)
    {
        if (IsOnMetaDevice) return 0;
        PassWidth width = hasGraph ? _graphWidth ??= ModuleCallCost.OfPass(Root, true) : _passWidth ??= ModuleCallCost.OfPass(Root, false);
        return width.BytesOf(rows, seq, Root.Task.Generates() ? Description.Vocabulary : 0, ofLastTokens);
    }

    internal override OpCost CostOfCall(int module, Arguments arguments) => ModuleCallCost.Of(_model.Modules[module], arguments);

    public override object? CallModule(int module, Arguments arguments, SiteHook?[]? hooks = null, Action? checkCancellation = null)
    {
        using var registration = SiteHook.Register(hooks, checkCancellation);
        SiteModule called = _model.Modules[module];
        if (called is Embedding embedding) embedding.CheckIds(arguments);
        Arguments aligned = called.Device is { } device ? arguments.To(device) : arguments;
        return hooks?[module] is { } hook ? hook.Call(called, aligned) : called.Run(aligned);
    }

    internal override bool IsTokenwise(int module) =>
        module < _model.Modules.Count && _model.Modules[module] is Linear or Conv1D or LayerNorm or RMSNorm or Mlp or GatedMlp or Expert;

    public override torch.Tensor Parameter(int module, string name) => FindParameter(module, name).Value;

    private Parameter FindParameter(int module, string name) => _model.Modules[module].Parameters.First(p => p.Name == name);

    internal override IDisposable RequireGrad(IReadOnlyList<(int Module, string Name)> parameters) =>
        _requiresGrad = new RequiresGradScope(this, parameters.Select(p => FindParameter(p.Module, p.Name)));

    internal override IDisposable? SuspendGrad()
    {
        if (_requiresGrad is not { } suspended) return null;
        suspended.Swap();
        _requiresGrad = null;
        return new SuspendedGradScope(() =>
        {
            suspended.Swap();
            _requiresGrad = suspended;
        });
    }

    private RequiresGradScope? _requiresGrad;

    internal override bool IsWeight(torch.Tensor tensor) =>
        !IsOnMetaDevice && (_weightMemory ??= new WeightMemory(_model)).Contains(tensor);

    private WeightMemory? _weightMemory;

    /// <summary>Moves the weights to host memory. No run may be in progress.</summary>
    public void Offload()
    {
        _model.Offload();
        _weightMemory = null;
    }

    /// <summary>Moves the weights back to their devices.</summary>
    public void LoadToDevice()
    {
        _model.LoadToDevice();
        _weightMemory = null;
    }

    public void Dispose() => _model.Dispose();

    /// <summary>
    /// Replaces parameters during a pass by leaves of a graph that share their memory, so that everything a graph leaves behind
    /// (gradients) is freed with the leaves.
    /// </summary>
    private sealed class RequiresGradScope : IDisposable
    {
        private readonly HookedLanguageModel _model;

        /// <summary>The tensor that is not in use: the leaf or the own one; null is the packed weight.</summary>
        private readonly List<(Parameter Parameter, torch.Tensor? Other)> _weights = [];

        public RequiresGradScope(HookedLanguageModel model, IEnumerable<Parameter> parameters)
        {
            _model = model;
            foreach (Parameter parameter in parameters.Distinct())
            {
                if (parameter.IsEightBit)
                    throw Errors.CreateException(ErrorCode.Unsupported,
                        $"The weight `{parameter.Name}` is kept in eight bits, which have no gradient.",
                        "Load the model without eightBit.");
                torch.Tensor? own = parameter.IsPacked ? null : parameter.Value; // a packed weight is dequantized for the pass
                _weights.Add((parameter, own));
                parameter.Value = (own ?? parameter.Value).detach().requires_grad_(true).DetachFromDisposeScope();
            }
        }

        /// <summary>Replaces the leaves by the weights, or the weights by the leaves.</summary>
        public void Swap()
        {
            for (int i = 0; i < _weights.Count; i++)
            {
                (Parameter parameter, torch.Tensor? other) = _weights[i];
                _weights[i] = (parameter, parameter.IsPacked ? null : parameter.Value);
                if (other is not null) parameter.Value = other;
                else parameter.ClearValue();
            }
        }

        public void Dispose()
        {
            Swap();
            foreach (var (_, leaf) in _weights) leaf!.Dispose();
            _model._requiresGrad = null;
        }
    }

    private sealed class SuspendedGradScope(Action resume) : IDisposable
    {
        public void Dispose() => resume();
    }
}
