using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Admission;

/// <summary>
/// Estimates the bytes that a program saves, and the bytes that it needs at a time in addition to the weights, from the program and the
/// description of the model. The shape of a site follows from the weights of its module, or is [batch, seq, hidden]; an index narrows it;
/// any other operation has the size of its largest argument. Loops over values count once, loops over steps once per step, and all
/// branches count as taken. The estimate may be wrong by a small factor, but detects an experiment that would save gigabytes.
/// </summary>
internal sealed class ProgramMemoryEstimator
{
    /// <summary>
    /// The activations of one layer per token, in units of the hidden size: the intermediate values of the MLP, queries, keys, values.
    /// </summary>
    private const double ActivationsPerToken = 12;

    private const int TokenIdBytes = sizeof(long), DefaultElementBytes = sizeof(float);

    private readonly Program _program;
    private readonly ModelDescription? _model;
    private readonly double _hiddenSize, _vocabSize, _numLayers, _elementBytes;
    private readonly Dictionary<uint, ValueSize> _valueSizes = [];
    private readonly HashSet<uint> _visitedRegions = [];
    private readonly List<uint> _savedContainers = [];
    private double _savedBytes, _peakBytes;

    private ProgramMemoryEstimator(Program program, ModelDescription? model)
    {
        (_program, _model) = (program, model);
        if (model is null) return;
        ModuleInfo? embedding = model.Root?.Find(model.Names?.Embed ?? "");
        _hiddenSize = embedding?.Parameters.FirstOrDefault(p => p.Name == "weight")?.Shape.LastOrDefault() ?? 0;
        _vocabSize = model.Vocabulary;
        _numLayers = model.Root?.Find(model.Names?.Layers ?? "")?.Children.Count ?? 0;
        _elementBytes = GetElementBytes(model.Dtype);
    }

    /// <summary>
    /// Returns the bytes saved and the peak of the bytes needed. Without a description of the model only the constants count.
    /// </summary>
    public static (ulong Result, ulong Peak) Estimate(Program program, ModelDescription? model)
    {
        var footprint = new ProgramMemoryEstimator(program, model);
        footprint.Visit(0, new ForwardPass(0, 0, 1), times: 1);
        double result = footprint._savedBytes
            + footprint._savedContainers.Sum(id => footprint._valueSizes.TryGetValue(id, out ValueSize container) ? container.Bytes : 0);
        double constants = program.Constants.Sum(c => c.IsBlob() ? (double)c.Blob.Length : c.Inline.Length);
        return (ToByteCount(result), ToByteCount(constants + result + footprint._peakBytes));
    }

    private void Visit(uint region, ForwardPass pass, double times)
    {
        if (region >= _program.Regions.Count || !_visitedRegions.Add(region)) return;
        foreach (uint id in _program.Regions[(int)region].Nodes)
            if (id < _program.Nodes.Count) Visit(id, _program.Nodes[(int)id], pass, times);
    }

    private void Visit(uint id, Node node, ForwardPass pass, double times)
    {
        switch (node.KindCase)
        {
            case Node.KindOneofCase.Trace when node.Trace.Mode != Mode.Scan:
                VisitTrace(node.Trace, times);
                break;
            case Node.KindOneofCase.Steps:
                foreach (Step step in node.Steps.Unrolled) Visit(step.Region, step.Index == 0 ? pass : pass with { Seq = 1 }, times);
                if (node.Steps.Each is { } each)
                {
                    double stop = each.HasStop ? Math.Min(each.Stop, pass.Steps) : pass.Steps;
                    double count = Math.Max(1, Math.Ceiling((stop - each.Start) / Math.Max(1, each.Stride)));
                    // the first step reads the prompt, the others one token each
                    double tokens = each.Start == 0 ? (pass.Seq + count - 1) / count : 1;
                    Visit(node.Steps.Region, pass with { Seq = tokens }, times * count);
                }
                break;
            case Node.KindOneofCase.If:
                foreach (Branch branch in node.If.Branches) Visit(branch.Region, pass, times);
                break;
            case Node.KindOneofCase.ForEach:
                Visit(node.ForEach.Region, pass, times);
                break;
            case Node.KindOneofCase.While:
                Visit(node.While.ConditionRegion, pass, times);
                Visit(node.While.Region, pass, times);
                break;
            case Node.KindOneofCase.Backward:
                Visit(node.Backward.Region, pass, times);
                break;
            case Node.KindOneofCase.Read:
                _valueSizes[id] = GetSiteSize(node.Read.Site ?? new Site(), pass);
                break;
            case Node.KindOneofCase.ReadGradient:
                _valueSizes[id] = _valueSizes.GetValueOrDefault(node.ReadGradient.Node);
                break;
            case Node.KindOneofCase.Result:
                _valueSizes[id] = pass.Steps > 1
                    ? new ValueSize([pass.Batch, pass.Seq + pass.Steps], TokenIdBytes)
                    : new ValueSize([pass.Batch, pass.Seq, _vocabSize], _elementBytes);
                break;
            case Node.KindOneofCase.Parameter:
                ModuleInfo? owner = _model?.Root?.Find(node.Parameter.Module);
                if (owner?.Parameters.FirstOrDefault(p => p.Name == node.Parameter.Name) is { } parameter)
                    _valueSizes[id] = new ValueSize([.. parameter.Shape.Select(n => (double)n)], GetElementBytes(parameter.Dtype));
                break;
            case Node.KindOneofCase.Call:
                _valueSizes[id] = GetCallSize(node.Call);
                break;
            case Node.KindOneofCase.Container:
                IEnumerable<Argument> items = node.Container.Items.Concat(node.Container.Entries.Select(entry => entry.Value));
                _valueSizes[id] = new ValueSize(null, 0, items.Sum(item => GetArgumentSize(item).Bytes));
                break;
            case Node.KindOneofCase.Append:
                AddToContainer(node.Append.Container, node.Append.Value, times);
                break;
            case Node.KindOneofCase.Put:
                AddToContainer(node.Put.Container, node.Put.Value, times);
                break;
            case Node.KindOneofCase.Save when IsContainer(node.Save.Value):
                _savedContainers.Add(node.Save.Value.Node); // items may be added after the save
                break;
            case Node.KindOneofCase.Save:
                _savedBytes += GetArgumentSize(node.Save.Value).Bytes * times;
                break;
            case Node.KindOneofCase.Cache:
                double modules = node.Cache.Modules.Count > 0 ? node.Cache.Modules.Count : _model?.Root?.Paths().Count() ?? 0;
                double kinds = (node.Cache.Outputs ? 1 : 0) + (node.Cache.Inputs ? 1 : 0);
                _savedBytes += modules * kinds * pass.Batch * (pass.Seq + pass.Steps - 1) * _hiddenSize * (node.Cache.Dtype == DataType.Unspecified ? _elementBytes : GetElementBytes(node.Cache.Dtype));
                break;
        }
    }

    private void VisitTrace(Trace trace, double times)
    {
        double steps = ProgramCostEstimator.GetStepCount(trace), copies = ProgramCostEstimator.GetSequencesPerPrompt(trace);
        List<(Invoke Invoke, ForwardPass Pass)> invokes = [.. trace.Invokes.Where(i => i.Input is not null).Select(invoke =>
        {
            double[] tokens = [.. ProgramCostEstimator.GetTokenCounts(invoke.Input).Select(count => (double)count)];
            return (invoke, new ForwardPass(Math.Max(1, tokens.Length) * copies, tokens.DefaultIfEmpty(1).Max(), steps));
        })];
        var whole = new ForwardPass(invokes.Sum(i => i.Pass.Batch), invokes.Select(i => i.Pass.Seq).DefaultIfEmpty(0).Max(), steps);
        double positions = whole.Batch * whole.Seq;
        double cached = steps > 1 ? 2 * _numLayers * whole.Batch * (whole.Seq + steps) * _hiddenSize : 0;
        double layersInMemory = trace.Gradients ? Math.Max(1, _numLayers) : 1; // gradients keep the activations of all layers
        double activations = positions * (_hiddenSize * ActivationsPerToken * layersInMemory + _vocabSize);
        _peakBytes = Math.Max(_peakBytes, _elementBytes * (activations + cached));
        foreach ((Invoke invoke, ForwardPass pass) in invokes) Visit(invoke.Region, pass, times);
        foreach (Invoke empty in trace.Invokes.Where(i => i.Input is null)) Visit(empty.Region, whole, times);
        Visit(trace.Region, whole, times);
    }

    private ValueSize GetSiteSize(Site site, ForwardPass pass)
    {
        if (GeneratorSites.Contains(site.Module))
            return new ValueSize([pass.Batch, pass.Seq + (site.Module == GeneratorSites.Generator ? pass.Steps : 0)], TokenIdBytes);
        ModuleInfo? module = _model?.Root?.Find(site.Module);
        if (module?.Parameters.FirstOrDefault(p => p.Name == "weight") is not { } weight)
        {
            double lastDimension = site.Module.Length == 0 ? _vocabSize : _hiddenSize;
            return new ValueSize([pass.Batch, pass.Seq, lastDimension], _elementBytes) { MayBeTuple = true };
        }
        bool isInput = site.Kind is SiteKind.Input or SiteKind.Inputs;
        bool isEmbedding = module.ClassName.EndsWith("Embedding", StringComparison.Ordinal);
        double features = weight.Shape.Count != 2 ? _hiddenSize
            : isEmbedding ? isInput ? 1 : weight.Shape[1]
            // Conv1D of GPT-2 is [inFeatures, outFeatures], Linear is [outFeatures, inFeatures]
            : weight.Shape[isInput != (module.ClassName == "Conv1D") ? 1 : 0];
        return new ValueSize([pass.Batch, pass.Seq, features], _elementBytes);
    }

    private ValueSize GetCallSize(Call call)
    {
        if (call is { Op: "getitem", Arguments: [{ ValueCase: Argument.ValueOneofCase.Node } self, var index] })
            return ApplyIndex(GetArgumentSize(self), index);
        ValueSize largest = default;
        foreach (Argument argument in call.Arguments)
            if (GetArgumentSize(argument) is var size && size.Bytes > largest.Bytes) largest = size;
        return largest.Bytes > 0 ? largest : new ValueSize([], DefaultElementBytes);
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

    private static ValueSize GetConstantSize(Tensor constant) =>
        new([.. constant.Shape.Select(n => (double)n)], GetElementBytes(constant.Dtype));

    private void AddToContainer(uint container, Argument value, double times)
    {
        ValueSize size = _valueSizes.GetValueOrDefault(container);
        _valueSizes[container] = size with { ContainerBytes = size.ContainerBytes + GetArgumentSize(value).Bytes * times };
    }

    private bool IsContainer(Argument? value) => value is { ValueCase: Argument.ValueOneofCase.Node } && value.Node < _program.Nodes.Count
        && _program.Nodes[(int)value.Node].KindCase == Node.KindOneofCase.Container;

    /// <summary>Returns the size after indexing; the unchanged size if the result is not known before the run.</summary>
    private static ValueSize ApplyIndex(ValueSize size, Argument index)
    {
        if (size.Shape is not { } shape) return size;
        Argument[] items = index.ValueCase == Argument.ValueOneofCase.Tuple ? [.. index.Tuple.Items] : [index];
        // output[0] of a tuple is the tensor itself
        if (size.MayBeTuple && items is [{ ValueCase: Argument.ValueOneofCase.Integer }]) return size with { MayBeTuple = false };
        int indexedCount = items.Count(item => item.ValueCase is not (Argument.ValueOneofCase.None or Argument.ValueOneofCase.Ellipsis));
        if (indexedCount > shape.Length || index.ValueCase == Argument.ValueOneofCase.Text) return size;
        List<double> result = [];
        int axis = 0;
        foreach (Argument item in items)
        {
            switch (item.ValueCase)
            {
                case Argument.ValueOneofCase.Integer: axis++; break;
                case Argument.ValueOneofCase.Slice: result.Add(GetSliceLength(item.Slice, shape[axis++])); break;
                case Argument.ValueOneofCase.None: result.Add(1); break;
                case Argument.ValueOneofCase.Ellipsis:
                    for (int i = shape.Length - indexedCount; i > 0; i--) result.Add(shape[axis++]);
                    break;
                default: result.Add(shape[axis++]); break;
            }
        }
        while (axis < shape.Length) result.Add(shape[axis++]);
        return size with { Shape = [.. result], MayBeTuple = false };
    }

    private static double GetSliceLength(Slice slice, double dimensionLength)
    {
        double step = Math.Max(1, Math.Abs((double)(Number(slice.Step) ?? 1)));
        return Math.Max(0, Math.Ceiling((At(Number(slice.Stop) ?? dimensionLength) - At(Number(slice.Start) ?? 0)) / step));

        static double? Number(Argument? bound) => bound is { ValueCase: Argument.ValueOneofCase.Integer } ? bound.Integer : null;

        double At(double index) => Math.Clamp(index < 0 ? index + dimensionLength : index, 0, dimensionLength);
    }

    private static double GetElementBytes(DataType type) => type == DataType.Unspecified ? DefaultElementBytes : ((DType)type).ItemSize();

    private static ulong ToByteCount(double bytes) => bytes >= ulong.MaxValue ? ulong.MaxValue : (ulong)Math.Max(0, bytes);

    /// <summary>
    /// A pass: its rows, the tokens per row of its first step (of a loop: the average per step), and the number of steps.
    /// </summary>
    private readonly record struct ForwardPass(double Batch, double Seq, double Steps);

    /// <summary>The size of a value: the shape of a tensor (else null), the bytes of an element, and the bytes in a container.</summary>
    private readonly record struct ValueSize(double[]? Shape, double ElementBytes, double ContainerBytes = 0)
    {
        /// <summary>True for a module without own weights, which may return a tuple whose first element has this shape.</summary>
        public bool MayBeTuple { get; init; }

        public double Bytes => ContainerBytes + (Shape is null ? 0 : Shape.Aggregate(ElementBytes, (product, length) => product * length));
    }
}
