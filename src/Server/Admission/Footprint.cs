using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>
/// How many bytes a program saves and needs at once beside the model's weights, as far as its text and the model's description tell.
/// Sites have the shape that their module's weights say, or [rows, tokens, hidden]; an index narrows it; any other operation counts as
/// its largest argument. Loops over values count once, loops over steps as often as there are steps, all branches as taken. A few
/// times too much or too little, not a hundred times: enough to see that an experiment would save gigabytes.
/// </summary>
internal sealed class Footprint
{
    /// <summary>Values of a token that a layer holds at once, in units of the hidden width: the MLP's inner ones, queries, keys, values.</summary>
    private const double HeldPerToken = 12;

    private const int BytesOfToken = sizeof(long), BytesOfNumber = sizeof(float);

    private readonly Program program;
    private readonly ModelDescription? model;
    private readonly double hidden, vocabulary, layers, element;
    private readonly Dictionary<uint, Size> sizes = [];
    private readonly HashSet<uint> visited = [];
    private readonly List<uint> savedContainers = [];
    private double saved, peak;

    private Footprint(Program program, ModelDescription? model)
    {
        (this.program, this.model) = (program, model);
        if (model is null) return;
        hidden = model.Root?.Find(model.Names?.Embed ?? "")?.Parameters.FirstOrDefault(p => p.Name == "weight")?.Shape.LastOrDefault() ?? 0;
        vocabulary = model.Vocabulary;
        layers = model.Root?.Find(model.Names?.Layers ?? "")?.Children.Count ?? 0;
        element = ElementBytes(model.Dtype);
    }

    /// <summary>Bytes saved, and bytes needed at once; without the model's description of the constants alone.</summary>
    public static (ulong Result, ulong Peak) Of(Program program, ModelDescription? model)
    {
        var footprint = new Footprint(program, model);
        footprint.Visit(0, new Pass(0, 0, 1), times: 1);
        double result = footprint.saved + footprint.savedContainers.Sum(id => footprint.sizes.TryGetValue(id, out Size container) ? container.Bytes : 0);
        double constants = program.Constants.Sum(c => c.ContentCase == Tensor.ContentOneofCase.Blob ? (double)c.Blob.Length : c.Inline.Length);
        return (Whole(result), Whole(constants + result + footprint.peak));
    }

    private void Visit(uint region, Pass pass, double times)
    {
        if (region >= program.Regions.Count || !visited.Add(region)) return;
        foreach (uint id in program.Regions[(int)region].Nodes)
            if (id < program.Nodes.Count) Visit(id, program.Nodes[(int)id], pass, times);
    }

    private void Visit(uint id, Node node, Pass pass, double times)
    {
        switch (node.KindCase)
        {
            case Node.KindOneofCase.Trace when node.Trace.Mode != Mode.Scan:
                VisitTrace(node.Trace, times);
                break;
            case Node.KindOneofCase.Steps:
                foreach (Step step in node.Steps.Unrolled) Visit(step.Region, step.Index == 0 ? pass : pass with { Tokens = 1 }, times);
                if (node.Steps.Each is { } each)
                {
                    double count = Math.Max(1, Math.Ceiling(((each.HasStop ? Math.Min(each.Stop, pass.Steps) : pass.Steps) - each.Start) / Math.Max(1, each.Stride)));
                    double tokens = each.Start == 0 ? (pass.Tokens + count - 1) / count : 1; // the first step has the prompt, the others a token each
                    Visit(node.Steps.Region, pass with { Tokens = tokens }, times * count);
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
                sizes[id] = OfSite(node.Read.Site ?? new Site(), pass);
                break;
            case Node.KindOneofCase.ReadGradient:
                sizes[id] = sizes.GetValueOrDefault(node.ReadGradient.Node);
                break;
            case Node.KindOneofCase.Result:
                sizes[id] = pass.Steps > 1 ? new Size([pass.Rows, pass.Tokens + pass.Steps], BytesOfToken) : new Size([pass.Rows, pass.Tokens, vocabulary], element);
                break;
            case Node.KindOneofCase.Parameter:
                if (model?.Root?.Find(node.Parameter.Module)?.Parameters.FirstOrDefault(p => p.Name == node.Parameter.Name) is { } parameter)
                    sizes[id] = new Size([.. parameter.Shape.Select(n => (double)n)], ElementBytes(parameter.Dtype));
                break;
            case Node.KindOneofCase.Call:
                sizes[id] = OfCall(node.Call);
                break;
            case Node.KindOneofCase.Container:
                sizes[id] = new Size(null, 0, node.Container.Items.Concat(node.Container.Entries.Select(e => e.Value)).Sum(item => OfArgument(item).Bytes));
                break;
            case Node.KindOneofCase.Append:
                Fill(node.Append.Container, node.Append.Value, times);
                break;
            case Node.KindOneofCase.Put:
                Fill(node.Put.Container, node.Put.Value, times);
                break;
            case Node.KindOneofCase.Save when IsContainer(node.Save.Value):
                savedContainers.Add(node.Save.Value.Node); // it may be filled after this
                break;
            case Node.KindOneofCase.Save:
                saved += OfArgument(node.Save.Value).Bytes * times;
                break;
            case Node.KindOneofCase.Cache:
                double modules = node.Cache.Modules.Count > 0 ? node.Cache.Modules.Count : model?.Root?.Paths().Count() ?? 0;
                double kinds = (node.Cache.Outputs ? 1 : 0) + (node.Cache.Inputs ? 1 : 0);
                saved += modules * kinds * pass.Rows * (pass.Tokens + pass.Steps - 1) * hidden * (node.Cache.Dtype == DataType.Unspecified ? element : ElementBytes(node.Cache.Dtype));
                break;
        }
    }

    private void VisitTrace(Trace trace, double times)
    {
        double steps = Estimates.StepsOf(trace), copies = Estimates.CopiesOf(trace);
        List<(Invoke Invoke, Pass Pass)> invokes = [.. trace.Invokes.Where(i => i.Input is not null).Select(invoke =>
        {
            double[] tokens = [.. Estimates.TokensOf(invoke.Input).Select(count => (double)count)];
            return (invoke, new Pass(Math.Max(1, tokens.Length) * copies, tokens.DefaultIfEmpty(1).Max(), steps));
        })];
        var whole = new Pass(invokes.Sum(i => i.Pass.Rows), invokes.Select(i => i.Pass.Tokens).DefaultIfEmpty(0).Max(), steps);
        double positions = whole.Rows * whole.Tokens;
        double cached = steps > 1 ? 2 * layers * whole.Rows * (whole.Tokens + steps) * hidden : 0;
        peak = Math.Max(peak, element * (positions * (hidden * HeldPerToken * (trace.Gradients ? Math.Max(1, layers) : 1) + vocabulary) + cached));
        foreach ((Invoke invoke, Pass pass) in invokes) Visit(invoke.Region, pass, times);
        foreach (Invoke empty in trace.Invokes.Where(i => i.Input is null)) Visit(empty.Region, whole, times);
        Visit(trace.Region, whole, times);
    }

    private Size OfSite(Site site, Pass pass)
    {
        if (GeneratorSites.Include(site.Module)) return new Size([pass.Rows, pass.Tokens + (site.Module == GeneratorSites.Generator ? pass.Steps : 0)], BytesOfToken);
        ModuleInfo? module = model?.Root?.Find(site.Module);
        if (module?.Parameters.FirstOrDefault(p => p.Name == "weight") is not { } weight)
            return new Size([pass.Rows, pass.Tokens, site.Module.Length == 0 ? vocabulary : hidden], element) { MayBeTuple = true };
        bool isInput = site.Kind is SiteKind.Input or SiteKind.Inputs, isEmbedding = module.ClassName.EndsWith("Embedding", StringComparison.Ordinal);
        double width = weight.Shape.Count != 2 ? hidden
            : isEmbedding ? isInput ? 1 : weight.Shape[1]
            : weight.Shape[isInput != (module.ClassName == "Conv1D") ? 1 : 0]; // GPT-2's Conv1D is [in, out], a Linear [out, in]
        return new Size([pass.Rows, pass.Tokens, width], element);
    }

    private Size OfCall(Call call)
    {
        if (call is { Op: "getitem", Arguments: [{ ValueCase: Argument.ValueOneofCase.Node } self, var index] })
            return Narrow(OfArgument(self), index);
        Size largest = default;
        foreach (Argument argument in call.Arguments)
            if (OfArgument(argument) is var one && one.Bytes > largest.Bytes) largest = one;
        return largest.Bytes > 0 ? largest : new Size([], BytesOfNumber);
    }

    private Size OfArgument(Argument? argument) => argument?.ValueCase switch
    {
        Argument.ValueOneofCase.Node => sizes.GetValueOrDefault(argument.Node),
        Argument.ValueOneofCase.Constant when argument.Constant < program.Constants.Count => OfConstant(program.Constants[(int)argument.Constant]),
        Argument.ValueOneofCase.List => new Size(null, 0, argument.List.Items.Sum(item => OfArgument(item).Bytes)),
        Argument.ValueOneofCase.Tuple => new Size(null, 0, argument.Tuple.Items.Sum(item => OfArgument(item).Bytes)),
        _ => default,
    };

    private static Size OfConstant(Tensor constant) => new([.. constant.Shape.Select(n => (double)n)], ElementBytes(constant.Dtype));

    private void Fill(uint container, Argument value, double times)
    {
        Size held = sizes.GetValueOrDefault(container);
        sizes[container] = held with { Extra = held.Extra + OfArgument(value).Bytes * times };
    }

    private bool IsContainer(Argument? value) => value is { ValueCase: Argument.ValueOneofCase.Node } && value.Node < program.Nodes.Count
        && program.Nodes[(int)value.Node].KindCase == Node.KindOneofCase.Container;

    /// <summary>What an index leaves of a shape; the shape itself where that is not known beforehand.</summary>
    private static Size Narrow(Size size, Argument index)
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
                case Argument.ValueOneofCase.Slice: left.Add(Length(item.Slice, shape[axis++])); break;
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

    private static double Length(Slice slice, double all)
    {
        double step = Math.Max(1, Math.Abs((double)(Number(slice.Step) ?? 1)));
        return Math.Max(0, Math.Ceiling((At(Number(slice.Stop) ?? all) - At(Number(slice.Start) ?? 0)) / step));

        static double? Number(Argument? bound) => bound is { ValueCase: Argument.ValueOneofCase.Integer } ? bound.Integer : null;

        double At(double place) => Math.Clamp(place < 0 ? place + all : place, 0, all);
    }

    private static double ElementBytes(DataType type) => type == DataType.Unspecified ? BytesOfNumber : ((DType)type).Size();

    private static ulong Whole(double bytes) => bytes >= ulong.MaxValue ? ulong.MaxValue : (ulong)Math.Max(0, bytes);

    /// <summary>The rows of a pass, the tokens of each in its first step (on average over a loop's steps), and how many steps it has.</summary>
    private readonly record struct Pass(double Rows, double Tokens, double Steps);

    /// <summary>A value: its shape if it is a tensor, bytes of an element, and what a container holds.</summary>
    private readonly record struct Size(double[]? Shape, double Element, double Extra = 0)
    {
        /// <summary>A module without weights of its own may return a tuple: its first element has the shape.</summary>
        public bool MayBeTuple { get; init; }

        public double Bytes => Extra + (Shape is null ? 0 : Shape.Aggregate(Element, (product, length) => product * length));
    }
}
