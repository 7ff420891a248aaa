using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Server.Admission;

/// <summary>
/// How many bytes a program saves and needs at once beside the model's weights, as far as its text and the model's description tell.
/// Sites have the shape that their module's weights say, or [batch, seq, hidden]; an index narrows it; any other operation counts as
/// its largest argument. Loops over values count once, loops over steps as often as there are steps, all branches as taken. A few
/// times too much or too little, not a hundred times: enough to see that an experiment would save gigabytes.
/// </summary>
internal sealed class ProgramMemoryEstimator
{
    /// <summary>Values of a token that a layer holds at once, in units of the hidden width: the MLP's inner ones, queries, keys, values.</summary>
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
        (this._program, this._model) = (program, model);
        if (model is null) return;
        _hiddenSize = model.Root?.Find(model.Names?.Embed ?? "")?.Parameters.FirstOrDefault(p => p.Name == "weight")?.Shape.LastOrDefault() ?? 0;
        _vocabSize = model.Vocabulary;
        _numLayers = model.Root?.Find(model.Names?.Layers ?? "")?.Children.Count ?? 0;
        _elementBytes = GetElementBytes(model.Dtype);
    }

    /// <summary>Bytes saved, and bytes needed at once; without the model's description of the constants alone.</summary>
    public static (ulong Result, ulong Peak) Estimate(Program program, ModelDescription? model)
    {
        var footprint = new ProgramMemoryEstimator(program, model);
        footprint.Visit(0, new ForwardPass(0, 0, 1), times: 1);
        double result = footprint._savedBytes + footprint._savedContainers.Sum(id => footprint._valueSizes.TryGetValue(id, out ValueSize container) ? container.Bytes : 0);
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
                    double count = Math.Max(1, Math.Ceiling(((each.HasStop ? Math.Min(each.Stop, pass.Steps) : pass.Steps) - each.Start) / Math.Max(1, each.Stride)));
                    double tokens = each.Start == 0 ? (pass.Seq + count - 1) / count : 1; // the first step has the prompt, the others a token each
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
                _valueSizes[id] = pass.Steps > 1 ? new ValueSize([pass.Batch, pass.Seq + pass.Steps], TokenIdBytes) : new ValueSize([pass.Batch, pass.Seq, _vocabSize], _elementBytes);
                break;
            case Node.KindOneofCase.Parameter:
                if (_model?.Root?.Find(node.Parameter.Module)?.Parameters.FirstOrDefault(p => p.Name == node.Parameter.Name) is { } parameter)
                    _valueSizes[id] = new ValueSize([.. parameter.Shape.Select(n => (double)n)], GetElementBytes(parameter.Dtype));
                break;
            case Node.KindOneofCase.Call:
                _valueSizes[id] = GetCallSize(node.Call);
                break;
            case Node.KindOneofCase.Container:
                _valueSizes[id] = new ValueSize(null, 0, node.Container.Items.Concat(node.Container.Entries.Select(e => e.Value)).Sum(item => GetArgumentSize(item).Bytes));
                break;
            case Node.KindOneofCase.Append:
                AddToContainer(node.Append.Container, node.Append.Value, times);
                break;
            case Node.KindOneofCase.Put:
                AddToContainer(node.Put.Container, node.Put.Value, times);
                break;
            case Node.KindOneofCase.Save when IsContainer(node.Save.Value):
                _savedContainers.Add(node.Save.Value.Node); // it may be filled after this
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
        _peakBytes = Math.Max(_peakBytes, _elementBytes * (positions * (_hiddenSize * ActivationsPerToken * (trace.Gradients ? Math.Max(1, _numLayers) : 1) + _vocabSize) + cached));
        foreach ((Invoke invoke, ForwardPass pass) in invokes) Visit(invoke.Region, pass, times);
        foreach (Invoke empty in trace.Invokes.Where(i => i.Input is null)) Visit(empty.Region, whole, times);
        Visit(trace.Region, whole, times);
    }

    private ValueSize GetSiteSize(Site site, ForwardPass pass)
    {
        if (GeneratorSites.Contains(site.Module)) return new ValueSize([pass.Batch, pass.Seq + (site.Module == GeneratorSites.Generator ? pass.Steps : 0)], TokenIdBytes);
        ModuleInfo? module = _model?.Root?.Find(site.Module);
        if (module?.Parameters.FirstOrDefault(p => p.Name == "weight") is not { } weight)
            return new ValueSize([pass.Batch, pass.Seq, site.Module.Length == 0 ? _vocabSize : _hiddenSize], _elementBytes) { MayBeTuple = true };
        bool isInput = site.Kind is SiteKind.Input or SiteKind.Inputs, isEmbedding = module.ClassName.EndsWith("Embedding", StringComparison.Ordinal);
        double width = weight.Shape.Count != 2 ? _hiddenSize
            : isEmbedding ? isInput ? 1 : weight.Shape[1]
            : weight.Shape[isInput != (module.ClassName == "Conv1D") ? 1 : 0]; // GPT-2's Conv1D is [in, out], a Linear [out, in]
        return new ValueSize([pass.Batch, pass.Seq, width], _elementBytes);
    }

    private ValueSize GetCallSize(Call call)
    {
        if (call is { Op: "getitem", Arguments: [{ ValueCase: Argument.ValueOneofCase.Node } self, var index] })
            return ApplyIndex(GetArgumentSize(self), index);
        ValueSize largest = default;
        foreach (Argument argument in call.Arguments)
            if (GetArgumentSize(argument) is var one && one.Bytes > largest.Bytes) largest = one;
        return largest.Bytes > 0 ? largest : new ValueSize([], DefaultElementBytes);
    }

    private ValueSize GetArgumentSize(Argument? argument) => argument?.ValueCase switch
    {
        Argument.ValueOneofCase.Node => _valueSizes.GetValueOrDefault(argument.Node),
        Argument.ValueOneofCase.Constant when argument.Constant < _program.Constants.Count => GetConstantSize(_program.Constants[(int)argument.Constant]),
        Argument.ValueOneofCase.List => new ValueSize(null, 0, argument.List.Items.Sum(item => GetArgumentSize(item).Bytes)),
        Argument.ValueOneofCase.Tuple => new ValueSize(null, 0, argument.Tuple.Items.Sum(item => GetArgumentSize(item).Bytes)),
        _ => default,
    };

    private static ValueSize GetConstantSize(Tensor constant) => new([.. constant.Shape.Select(n => (double)n)], GetElementBytes(constant.Dtype));

    private void AddToContainer(uint container, Argument value, double times)
    {
        ValueSize held = _valueSizes.GetValueOrDefault(container);
        _valueSizes[container] = held with { ContainerBytes = held.ContainerBytes + GetArgumentSize(value).Bytes * times };
    }

    private bool IsContainer(Argument? value) => value is { ValueCase: Argument.ValueOneofCase.Node } && value.Node < _program.Nodes.Count
        && _program.Nodes[(int)value.Node].KindCase == Node.KindOneofCase.Container;

    /// <summary>What an index leaves of a shape; the shape itself where that is not known beforehand.</summary>
    private static ValueSize ApplyIndex(ValueSize size, Argument index)
    {
        if (size.Shape is not { } shape) return size;
        Argument[] items = index.ValueCase == Argument.ValueOneofCase.Tuple ? [.. index.Tuple.Items] : [index];
        if (size.MayBeTuple && items is [{ ValueCase: Argument.ValueOneofCase.Integer }]) return size with { MayBeTuple = false }; // output[0]
        int taken = items.Count(item => item.ValueCase is not (Argument.ValueOneofCase.None or Argument.ValueOneofCase.Ellipsis));
        if (taken > shape.Length || index.ValueCase == Argument.ValueOneofCase.Text) return size;
        List<double> left = [];
        int axis = 0;
        foreach (Argument item in items)
        {
            switch (item.ValueCase)
            {
                case Argument.ValueOneofCase.Integer: axis++; break;
                case Argument.ValueOneofCase.Slice: left.Add(GetSliceLength(item.Slice, shape[axis++])); break;
                case Argument.ValueOneofCase.None: left.Add(1); break;
                case Argument.ValueOneofCase.Ellipsis:
                    for (int i = shape.Length - taken; i > 0; i--) left.Add(shape[axis++]);
                    break;
                default: left.Add(shape[axis++]); break;
            }
        }
        while (axis < shape.Length) left.Add(shape[axis++]);
        return size with { Shape = [.. left], MayBeTuple = false };
    }

    private static double GetSliceLength(Slice slice, double dimensionLength)
    {
        double step = Math.Max(1, Math.Abs((double)(Number(slice.Step) ?? 1)));
        return Math.Max(0, Math.Ceiling((At(Number(slice.Stop) ?? dimensionLength) - At(Number(slice.Start) ?? 0)) / step));

        static double? Number(Argument? bound) => bound is { ValueCase: Argument.ValueOneofCase.Integer } ? bound.Integer : null;

        double At(double place) => Math.Clamp(place < 0 ? place + dimensionLength : place, 0, dimensionLength);
    }

    private static double GetElementBytes(DataType type) => type == DataType.Unspecified ? DefaultElementBytes : ((DType)type).ItemSize();

    private static ulong ToByteCount(double bytes) => bytes >= ulong.MaxValue ? ulong.MaxValue : (ulong)Math.Max(0, bytes);

    /// <summary>The rows of a pass, the tokens of each in its first step (on average over a loop's steps), and how many steps it has.</summary>
    private readonly record struct ForwardPass(double Batch, double Seq, double Steps);

    /// <summary>A value: its shape if it is a tensor, bytes of an element, and what a container holds.</summary>
    private readonly record struct ValueSize(double[]? Shape, double ElementBytes, double ContainerBytes = 0)
    {
        /// <summary>A module without weights of its own may return a tuple: its first element has the shape.</summary>
        public bool MayBeTuple { get; init; }

        public double Bytes => ContainerBytes + (Shape is null ? 0 : Shape.Aggregate(ElementBytes, (product, length) => product * length));
    }
}
