using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Admission;

/// <summary>The forward passes that a node is part of.</summary>
/// <param name="Seq">The tokens of each row in the first step; in a loop over steps, the average of its steps.</param>
internal readonly record struct EstimatedPass(double Batch, double Seq, double Steps);

/// <summary>A node of the program.</summary>
/// <param name="Times">How often it runs.</param>
internal readonly record struct EstimatedNode(uint Id, EstimatedPass Pass, double Times);

/// <summary>
/// Estimates how many bytes a program saves, and how many it needs at once in addition to the model's weights, from its nodes and the
/// model's description. A site has the shape that its module's weights imply, or [batch, seq, hidden]. An index narrows it. Any other
/// operation counts as its largest argument, and one that creates a tensor as what its arguments say. A loop over values counts as often as
/// there are values, a loop over steps as often as there are steps, a loop with a condition as often as its limit allows, and all
/// branches count as taken. The estimate may be a few times too large or too small, not a hundred times: it shows whether an experiment
/// would save gigabytes. Each visit returns the size of the node's value, or null if the node has none.
/// </summary>
internal sealed class ProgramMemoryEstimator : NodeVisitor<EstimatedNode, ValueSize?>
{
    /// <summary>The values of a layer for each token, in units of the hidden size: the MLP's, queries, keys and values.</summary>
    private const double ActivationsPerToken = 12;

    private const int TokenIdBytes = sizeof(long);

    private readonly Program _program;
    private readonly ModelDescription? _model;
    private readonly Generation? _defaults;
    private readonly double _hiddenSize, _outputSize, _numLayers, _elementBytes;
    private readonly Lazy<int> _moduleCount;
    private readonly Dictionary<uint, ValueSize> _valueSizes = [];
    private readonly HashSet<uint> _visitedRegions = [];
    private readonly List<uint> _savedContainers = [];
    private double _savedBytes, _peakBytes;

    private ProgramMemoryEstimator(Program program, ModelDescription? model)
    {
        (_program, _model, _defaults) = (program, model, ProgramCostEstimator.ReadDefaults(program, model));
        _moduleCount = new Lazy<int>(() => model?.Root is { } root ? CountModules(root) - 1 : 0);
        if (model is null) return;
        ModuleInfo? embedding = model.Root?.Find(model.Names?.Embed ?? "");
        _hiddenSize = embedding?.Parameters.FirstOrDefault(p => p.Name == "weight")?.Shape.LastOrDefault() ?? 0;
        _outputSize = model.Task switch
        {
            ModelTask.FeatureExtraction => _hiddenSize,
            ModelTask.SequenceClassification or ModelTask.TokenClassification => Math.Max(1, model.Labels.Count),
            _ => model.Vocabulary,
        };
        _numLayers = model.Root?.Find(model.Names?.Layers ?? "")?.Children.Count ?? 0;
        _elementBytes = ValueSize.GetElementBytes(model.Dtype);
    }

    /// <summary>The bytes that the program saves, and those that it needs at once.</summary>
    /// <param name="model">Null if the model is not described yet: only constants count then.</param>
    public static (ulong Result, ulong Peak) Estimate(Program program, ModelDescription? model)
    {
        var estimator = new ProgramMemoryEstimator(program, model);
        estimator.VisitRegion(0, new EstimatedPass(0, 0, 1), times: 1);
        double result = estimator._savedBytes + estimator._savedContainers.Sum(id => estimator._valueSizes.GetValueOrDefault(id).Bytes);
        double constants = program.Constants.Sum(c => c.IsBlob() ? (double)c.Blob.Length : c.Inline.Length);
        return (ToByteCount(result), ToByteCount(constants + result + estimator._peakBytes));
    }

    protected override ValueSize? VisitNone(EstimatedNode node) => null;

    protected override ValueSize? VisitTrace(Trace trace, EstimatedNode node)
    {
        if (trace.Mode == Mode.Scan) return null;
        double copies = ProgramCostEstimator.GetSequencesPerPrompt(trace, _defaults);
        List<(Invoke Invoke, EstimatedPass Pass)> invokes = [.. trace.Invokes.Where(i => i.Input is not null).Select(invoke =>
        {
            double[] tokens = [.. ProgramCostEstimator.GetTokenCounts(invoke.Input).Select(count => (double)count)];
            double ownSteps = ProgramCostEstimator.GetStepCount(trace, invoke, _defaults);
            return (invoke, new EstimatedPass(Math.Max(1, tokens.Length) * copies, tokens.DefaultIfEmpty(1).Max(), ownSteps));
        })];
        double steps = invokes.Select(i => i.Pass.Steps).DefaultIfEmpty(1).Max();
        var whole = new EstimatedPass(invokes.Sum(i => i.Pass.Batch), invokes.Select(i => i.Pass.Seq).DefaultIfEmpty(0).Max(), steps);
        double activations = _hiddenSize * ActivationsPerToken * (trace.Gradients ? Math.Max(1, _numLayers) : 1);
        double cached = steps > 1 ? 2 * _numLayers * whole.Batch * (whole.Seq + steps) * _hiddenSize : 0;
        _peakBytes = Math.Max(_peakBytes, _elementBytes * (whole.Batch * whole.Seq * (activations + _outputSize) + cached));
        foreach ((Invoke invoke, EstimatedPass pass) in invokes) VisitRegion(invoke.Region, pass, node.Times);
        foreach (Invoke empty in trace.Invokes.Where(i => i.Input is null)) VisitRegion(empty.Region, whole, node.Times);
        VisitRegion(trace.Region, whole, node.Times);
        return null;
    }

    protected override ValueSize? VisitSteps(StepLoop loop, EstimatedNode node)
    {
        EstimatedPass pass = node.Pass;
        foreach (Step step in loop.Unrolled) VisitRegion(step.Region, step.Index == 0 ? pass : pass with { Seq = 1 }, node.Times);
        if (loop.Each is not { } each) return null;
        double stop = each.HasStop ? Math.Min(each.Stop, pass.Steps) : pass.Steps;
        double count = Math.Max(1, Math.Ceiling((stop - each.Start) / Math.Max(1, each.Stride)));
        double tokens = each.Start == 0 ? (pass.Seq + count - 1) / count : 1; // the first step has the prompt, the others a token each
        VisitRegion(loop.Region, pass with { Seq = tokens }, node.Times * count);
        return null;
    }

    protected override ValueSize? VisitIf(If statement, EstimatedNode node)
    {
        foreach (Branch branch in statement.Branches) VisitRegion(branch.Region, node.Pass, node.Times);
        return null;
    }

    protected override ValueSize? VisitForEach(ForEach loop, EstimatedNode node)
    {
        (double count, ValueSize element) = LoopSizes.GetItems(loop.Items, GetArgumentSize(loop.Items), _program);
        if (loop.Region < _program.Regions.Count && _program.Regions[(int)loop.Region].Parameters is [var item, ..])
            _valueSizes[item] = element;
        VisitRegion(loop.Region, node.Pass, node.Times * count);
        return null;
    }

    protected override ValueSize? VisitWhile(While loop, EstimatedNode node)
    {
        double count = Math.Max(1, loop.Limit); // how often it runs depends on its values: at most this often
        VisitRegion(loop.ConditionRegion, node.Pass, node.Times * count);
        VisitRegion(loop.Region, node.Pass, node.Times * count);
        return null;
    }

    protected override ValueSize? VisitBackward(Backward backward, EstimatedNode node)
    {
        VisitRegion(backward.Region, node.Pass, node.Times);
        return null;
    }

    protected override ValueSize? VisitRead(ReadSite read, EstimatedNode node) => GetSiteSize(read.Site ?? new Site(), node.Pass);

    protected override ValueSize? VisitReadGradient(ReadGradient read, EstimatedNode node) => _valueSizes.GetValueOrDefault(read.Node);

    protected override ValueSize? VisitResult(ReadResult result, EstimatedNode node) => node.Pass.Steps > 1
        ? new ValueSize([node.Pass.Batch, node.Pass.Seq + node.Pass.Steps], TokenIdBytes)
        : new ValueSize([node.Pass.Batch, node.Pass.Seq, _outputSize], _elementBytes);

    protected override ValueSize? VisitParameter(ReadParameter parameter, EstimatedNode node) =>
        _model?.Root?.Find(parameter.Module)?.Parameters.FirstOrDefault(p => p.Name == parameter.Name) is { } described
            ? ValueSize.OfTensor(described.Shape, described.Dtype) : null;

    protected override ValueSize? VisitCall(Call call, EstimatedNode node)
    {
        if (call is { Op: "getitem", Arguments: [{ ValueCase: Argument.ValueOneofCase.Node } self, var index] })
            return GetArgumentSize(self).At(index);
        if (LoopSizes.GetCreatedSize(call, GetArgumentSize) is { } created) return created;
        ValueSize largest = default;
        foreach (Argument argument in call.Arguments)
            if (GetArgumentSize(argument) is var size && size.Bytes > largest.Bytes) largest = size;
        return largest.Bytes > 0 ? largest : ValueSize.Scalar;
    }

    protected override ValueSize? VisitContainer(MakeContainer container, EstimatedNode node) =>
        new ValueSize(null, 0, container.Items.Concat(container.Entries.Select(e => e.Value)).Sum(item => GetArgumentSize(item).Bytes));

    protected override ValueSize? VisitAppend(Append append, EstimatedNode node) =>
        AddToContainer(append.Container, append.Value, node.Times);

    protected override ValueSize? VisitPut(PutEntry put, EstimatedNode node) => AddToContainer(put.Container, put.Value, node.Times);

    protected override ValueSize? VisitSave(Save save, EstimatedNode node)
    {
        if (IsContainer(save.Value)) _savedContainers.Add(save.Value.Node); // it may be filled after this
        else _savedBytes += GetArgumentSize(save.Value).Bytes * node.Times;
        return null;
    }

    protected override ValueSize? VisitCache(Cache cache, EstimatedNode node)
    {
        double modules = cache.Modules.Count > 0 ? cache.Modules.Count : _moduleCount.Value;
        double valuesPerModule = (cache.Outputs ? 1 : 0) + (cache.Inputs ? 1 : 0);
        double tokens = node.Pass.Batch * (node.Pass.Seq + node.Pass.Steps - 1);
        double elementBytes = cache.Dtype == DataType.Unspecified ? _elementBytes : ValueSize.GetElementBytes(cache.Dtype);
        _savedBytes += modules * valuesPerModule * tokens * _hiddenSize * elementBytes;
        return null;
    }

    /// <summary>The modules of a tree, without the experts, which a cache of all modules leaves out.</summary>
    private static int CountModules(ModuleInfo module) => module.Virtual ? 0 : 1 + module.Children.Sum(CountModules);

    // These kinds save nothing, and their values are small or are those of other nodes.
    protected override ValueSize? VisitWrite(WriteSite write, EstimatedNode node) => null;

    protected override ValueSize? VisitSkip(SkipModule skip, EstimatedNode node) => null;

    protected override ValueSize? VisitStartAt(StartAt start, EstimatedNode node) => null;

    protected override ValueSize? VisitCallModule(CallModule call, EstimatedNode node) => null;

    protected override ValueSize? VisitDefineModule(DefineModule module, EstimatedNode node) => null;

    protected override ValueSize? VisitRegionParameter(RegionParameter parameter, EstimatedNode node) => null;

    protected override ValueSize? VisitSetVariable(SetVariable set, EstimatedNode node) => null;

    protected override ValueSize? VisitWriteGradient(WriteGradient write, EstimatedNode node) => null;

    protected override ValueSize? VisitNewParameter(NewParameter parameter, EstimatedNode node) => null;

    protected override ValueSize? VisitNewOptimizer(NewOptimizer optimizer, EstimatedNode node) => null;

    protected override ValueSize? VisitOptimizerStep(OptimizerStep step, EstimatedNode node) => null;

    protected override ValueSize? VisitLog(Protocol.Log log, EstimatedNode node) => null;

    protected override ValueSize? VisitLocal(LocalCall call, EstimatedNode node) => null;

    protected override ValueSize? VisitStop(Stop stop, EstimatedNode node) => null;

    protected override ValueSize? VisitBarrier(Protocol.Messages.Barrier barrier, EstimatedNode node) => null;

    protected override ValueSize? VisitBreak(Break statement, EstimatedNode node) => null;

    private void VisitRegion(uint region, EstimatedPass pass, double times)
    {
        if (region >= _program.Regions.Count || !_visitedRegions.Add(region)) return;
        foreach (uint id in _program.Regions[(int)region].Nodes)
        {
            if (id < _program.Nodes.Count && Visit(_program.Nodes[(int)id], new EstimatedNode(id, pass, times)) is { } size)
                _valueSizes[id] = size;
        }
    }

    private ValueSize GetSiteSize(Site site, EstimatedPass pass)
    {
        if (GeneratorSites.Contains(site.Module))
            return new ValueSize([pass.Batch, pass.Seq + (site.Module == GeneratorSites.Generator ? pass.Steps : 0)], TokenIdBytes);
        ModuleInfo? module = _model?.Root?.Find(site.Module);
        if (module?.Parameters.FirstOrDefault(p => p.Name == "weight") is not { } weight)
        {
            double size = site.Module.Length == 0 ? _outputSize : _hiddenSize;
            return new ValueSize([pass.Batch, pass.Seq, size], _elementBytes) { MayBeTuple = true };
        }
        bool isInput = site.Kind is SiteKind.Input or SiteKind.Inputs;
        bool isEmbedding = module.ClassName.EndsWith("Embedding", StringComparison.Ordinal);
        double features = weight.Shape.Count != 2 ? _hiddenSize
            : isEmbedding ? isInput ? 1 : weight.Shape[1]
            : weight.Shape[isInput != (module.ClassName == "Conv1D") ? 1 : 0]; // GPT-2's Conv1D is [in, out], a Linear [out, in]
        return new ValueSize([pass.Batch, pass.Seq, features], _elementBytes);
    }

    private ValueSize GetArgumentSize(Argument? argument) => argument?.ValueCase switch
    {
        Argument.ValueOneofCase.Node => _valueSizes.GetValueOrDefault(argument.Node),
        Argument.ValueOneofCase.Constant when argument.Constant < _program.Constants.Count =>
            GetConstantSize(_program.Constants[(int)argument.Constant]),
        Argument.ValueOneofCase.List => new ValueSize(null, 0, argument.List.Items.Sum(item => GetArgumentSize(item).Bytes)),
        Argument.ValueOneofCase.Tuple => new ValueSize(null, 0, argument.Tuple.Items.Sum(item => GetArgumentSize(item).Bytes)),
        _ => default,
    };

    private static ValueSize GetConstantSize(Tensor constant) => ValueSize.OfTensor(constant.Shape, constant.Dtype);

    private ValueSize? AddToContainer(uint container, Argument value, double times)
    {
        ValueSize size = _valueSizes.GetValueOrDefault(container);
        _valueSizes[container] = size with { ContainerBytes = size.ContainerBytes + GetArgumentSize(value).Bytes * times };
        return null;
    }

    private bool IsContainer(Argument? value) => value is { ValueCase: Argument.ValueOneofCase.Node } && value.Node < _program.Nodes.Count
        && _program.Nodes[(int)value.Node].KindCase == Node.KindOneofCase.Container;

    private static ulong ToByteCount(double bytes) => bytes >= ulong.MaxValue ? ulong.MaxValue : (ulong)Math.Max(0, bytes);
}
