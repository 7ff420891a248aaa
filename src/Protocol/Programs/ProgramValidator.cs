namespace Ndif.Protocol;

/// <summary>
/// Checks a program before anything is queued or run: structure, operations, module paths, order of definition and use, limits.
/// What passes here runs, or fails with a typed error; it never crashes a process. The client, the gateway and the engine call
/// the same check.
/// </summary>
public sealed class ProgramValidator
{
    private static readonly HashSet<string> s_features = [];

    private readonly Program _program;
    private readonly ModelDescription? _model;
    private readonly ProgramLimits _limits;
    private readonly bool[] _defined, _regionSeen;
    private readonly HashSet<uint> _beside = [];
    private readonly Dictionary<string, ModuleInfo> _modules = [];
    private int _visited;
    private uint _at;

    private ProgramValidator(Program program, ModelDescription? model, ProgramLimits limits)
    {
        (_program, _model, _limits) = (program, model, limits);
        _defined = new bool[program.Nodes.Count];
        _regionSeen = new bool[program.Regions.Count];
    }

    /// <summary>The limits of a program that runs in its user's own process.</summary>
    public static ProgramLimits LocalLimits => new() { Nodes = 1_000_000, Nesting = 64, MessageBytes = int.MaxValue, ConstantBytes = long.MaxValue, Tokens = 1 << 20 };

    /// <summary>The first thing that is wrong, or null.</summary>
    /// <param name="model">The named model; null skips the check of paths.</param>
    public static Error? Validate(Program program, ModelDescription? model, ProgramLimits limits)
    {
        try
        {
            new ProgramValidator(program, model, limits).Check();
            return null;
        }
        catch (Exception e) when (e is NdifException or { InnerException: NdifException })
        {
            return Errors.Of(e);
        }
    }

    private void Check()
    {
        if (_program.Version != ProgramFormat.Version)
            throw Bad($"The program has format version {_program.Version}; this side reads version {ProgramFormat.Version}.", "Update the older of client and service.");
        if (_program.RequiredFeatures.FirstOrDefault(f => !s_features.Contains(f)) is { } feature)
            throw Make(ErrorCode.Unsupported, $"The program needs the feature `{feature}`, which this service does not have.");
        if (_limits.Nodes > 0 && _program.Nodes.Count > _limits.Nodes)
            throw Make(ErrorCode.LimitExceeded, $"The program has {_program.Nodes.Count} nodes; at most {_limits.Nodes} are allowed.", "Split it, or use a recorded loop instead of an unrolled one.");
        if (_program.Regions.Count == 0 || _program.Nodes.Count == 0) throw Bad("The program is empty.");
        CheckConstants();
        Region(0, new Scope(null, null, null, 0));
        if (_visited < _program.Nodes.Count(n => n.KindCase is not Node.KindOneofCase.RegionParameter))
            throw Bad("Some nodes of the program stand in no region, so they would never run.");
    }

    private void CheckConstants()
    {
        ulong total = 0;
        for (int i = 0; i < _program.Constants.Count; i++)
        {
            Tensor tensor = _program.Constants[i];
            if (!Enum.IsDefined((DType)tensor.Dtype)) throw Bad($"Constant {i} has the unknown element type {(int)tensor.Dtype}.");
            System.Int128 bytes = ((DType)tensor.Dtype).Size();
            foreach (long size in tensor.Shape)
            {
                if (size < 0) throw Bad($"Constant {i} has the negative size {size}.");
                bytes *= size;
                if (bytes > long.MaxValue) throw Bad($"The shape of constant {i} is too large for any tensor.");
            }
            ulong length = tensor.ContentCase switch
            {
                Tensor.ContentOneofCase.Inline => (ulong)tensor.Inline.Length,
                Tensor.ContentOneofCase.Blob when tensor.Blob.Id.Length == 64 && tensor.Blob.Id.All(char.IsAsciiHexDigitLower) => tensor.Blob.Length,
                Tensor.ContentOneofCase.Blob => throw Bad($"Constant {i} refers to `{Short(tensor.Blob.Id)}`, which is not the SHA-256 of anything."),
                _ => throw Bad($"Constant {i} has no content."),
            };
            if ((System.Int128)length != bytes) throw Bad($"Constant {i} has {length} bytes where its shape [{string.Join(", ", tensor.Shape)}] of {((DType)tensor.Dtype).TorchName()} needs {bytes}.");
            total += length;
        }
        if (_limits.ConstantBytes > 0 && total > _limits.ConstantBytes)
            throw Make(ErrorCode.LimitExceeded, $"The program's constants have {total} bytes; at most {_limits.ConstantBytes} are allowed.");
    }

    /// <summary>Where a region stands.</summary>
    private sealed record Scope(Trace? Trace, Invoke? Invoke, StepLoop? Steps, int Depth, bool InLoop = false, bool InBackward = false, string? InModule = null);

    private void Region(uint id, Scope scope)
    {
        if (id >= _program.Regions.Count) throw Bad($"The program refers to region {id}; it has {_program.Regions.Count}.");
        if (_regionSeen[id]) throw Bad($"Region {id} stands in two places.");
        _regionSeen[id] = true;
        if (_limits.Nesting > 0 && scope.Depth > _limits.Nesting)
            throw Make(ErrorCode.LimitExceeded, $"The program is nested deeper than {_limits.Nesting} levels.");
        Region region = _program.Regions[(int)id];
        foreach (uint parameter in region.Parameters)
        {
            if (parameter >= _program.Nodes.Count || _program.Nodes[(int)parameter].KindCase is not Node.KindOneofCase.RegionParameter)
                throw Bad($"Region {id} has the parameter {parameter}, which is not one.");
            Define(parameter);
        }
        foreach (uint node in region.Nodes)
        {
            if (node >= _program.Nodes.Count) throw Bad($"Region {id} holds node {node}; the program has {_program.Nodes.Count}.");
            _at = node;
            try
            {
                Visit(_program.Nodes[(int)node], scope);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.Of(e).HasNode)
            {
                throw Errors.ToException(At(Errors.Of(e), node), e);
            }
            _visited++;
            Define(node);
        }
    }

    private void Visit(Node node, Scope scope)
    {
        if (node.Line > _program.Lines.Count) throw Bad($"A node refers to line {node.Line}; the program has {_program.Lines.Count}.");
        if (node.KindCase is Node.KindOneofCase.None or Node.KindOneofCase.RegionParameter) throw Bad("A node has no kind.");
        foreach (Argument argument in node.Arguments()) Argument(argument, 0);
        switch (node.KindCase)
        {
            case Node.KindOneofCase.Call: Call(node.Call); break;
            case Node.KindOneofCase.Read: InTrace(scope, "A site"); Site(node.Read.Site, node.Read.Call, scope); break;
            case Node.KindOneofCase.Write:
                InTrace(scope, "A site");
                Site(node.Write.Site, node.Write.Call, scope);
                if (node.Write.Site.Module == GeneratorSites.Generator && OfGenerator(node.Write.Site.Module, scope))
                    throw Make(ErrorCode.BadArgument, "The result of a generation can be read, not replaced.", "Replace tokens as they are chosen: Generator.Streamer.Output.");
                break;
            case Node.KindOneofCase.Skip: InTrace(scope, "Skip"); Operation(Module(node.Skip.Module), node.Skip.Module, node.Skip.Operation); Step(node.Skip.Call, scope); break;
            case Node.KindOneofCase.StartAt: InTrace(scope, "StartAt"); Module(node.StartAt.Module); Start(node.StartAt.Module, scope); break;
            case Node.KindOneofCase.DefineModule: Define(node.DefineModule, scope); break;
            case Node.KindOneofCase.CallModule when _modules.ContainsKey(node.CallModule.Module):
                if (node.CallModule is not { Arguments.Count: 1, Keywords.Count: 0 }) throw Make(ErrorCode.BadArgument, $"`{Short(node.CallModule.Module)}` takes one input.");
                break;
            case Node.KindOneofCase.CallModule: Module(node.CallModule.Module); break;
            case Node.KindOneofCase.Parameter: ParameterOf(node.Parameter); break;
            case Node.KindOneofCase.Result or Node.KindOneofCase.Stop or Node.KindOneofCase.Barrier: InTrace(scope, node.KindCase.ToString()); break;
            case Node.KindOneofCase.Cache:
                InTrace(scope, "A cache");
                foreach (string path in node.Cache.Modules)
                    if (Module(path).List) throw Make(ErrorCode.UnknownModule, $"`{Short(path)}` is a list of modules: it is never called itself.", "Cache its modules.", Short(path));
                break;
            case Node.KindOneofCase.Break when !scope.InLoop: throw Bad("Break stands outside of any loop.");
            case Node.KindOneofCase.Backward when scope.InBackward: throw Bad("A backward pass stands inside of another one's block.");
            case Node.KindOneofCase.Backward when scope.Trace is { Gradients: false }:
                throw Make(ErrorCode.NoGradient, "Backward needs a trace with gradients; this one builds no graph.", "Open it with grad: true.");
            case Node.KindOneofCase.Local when !(node.Local.TimeoutSeconds is > 0 and <= 86_400):
                throw Bad("A local call needs a time limit of up to a day.");
            case Node.KindOneofCase.NewOptimizer:
                new OptimizerSettings(node.NewOptimizer).Check();
                if (node.NewOptimizer.Parameters.Any(p => _program.Nodes[(int)p].KindCase is not Node.KindOneofCase.NewParameter))
                    throw Make(ErrorCode.BadArgument, "An optimizer trains parameters of the program.", "Pass what Parameter(...) returned.");
                break;
            case Node.KindOneofCase.OptimizerStep when _program.Nodes[(int)node.OptimizerStep.Optimizer].KindCase is not Node.KindOneofCase.NewOptimizer:
                throw Bad("A step of an optimizer refers to something else.");
            case Node.KindOneofCase.Trace: Trace(node.Trace, scope); return;
        }
        foreach (uint region in node.Regions())
        {
            if (node.KindCase is Node.KindOneofCase.DefineModule) continue; // visited with its parameter
            bool loop = node.KindCase is Node.KindOneofCase.ForEach or Node.KindOneofCase.While or Node.KindOneofCase.Steps;
            Region(region, scope with
            {
                Depth = scope.Depth + 1,
                InLoop = node.KindCase is not Node.KindOneofCase.Backward && (scope.InLoop || loop),
                Steps = node.KindCase is Node.KindOneofCase.Steps ? node.Steps : scope.Steps,
                InBackward = scope.InBackward || node.KindCase is Node.KindOneofCase.Backward,
            });
        }
        if (node.KindCase is Node.KindOneofCase.While) Argument(node.While.Condition ?? throw Bad("A while loop has no condition."), 0);
    }

    private void Trace(Trace trace, Scope scope)
    {
        if (scope.Trace is not null) throw Bad("A trace stands inside of another one.");
        if (scope.InBackward) throw Bad("A trace stands inside of a backward block.");
        if (scope.InModule is not null) throw Bad("A trace stands inside of a module's forward.");
        if (trace is { Gradients: true, Mode: not Mode.Forward })
            throw Make(ErrorCode.Unsupported, $"A {(trace.Mode is Mode.Scan ? "scan" : "generation")} has no gradients.", "Use a trace of one forward pass: Trace(prompt, grad: true).");
        if (trace.Mode is Mode.Unspecified || !Enum.IsDefined(trace.Mode)) throw Bad("A trace does not say what to run.");
        if (!trace.Invokes.Any(i => i.Input is not null)) throw Make(ErrorCode.BadInput, "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt).");
        // recorded between the invokes, and used by later ones: visited after them, but defined before
        if (trace.Region < _program.Regions.Count) _beside.UnionWith(_program.Regions[(int)trace.Region].Nodes);
        if (trace.Invokes.Any(i => i.HasBeside && (i.Input is not null || i.Beside >= trace.Invokes.Count || trace.Invokes[(int)i.Beside].Input is null)))
            throw Bad("An invoke stands beside one that has no rows.");
        if (trace.Generation is { } generation) GenerationRules.Check(generation);
        foreach (Invoke invoke in trace.Invokes)
            if (invoke.Generation is { } own) GenerationRules.CheckOfInvoke(own);
        foreach (Invoke invoke in trace.Invokes)
            Region(invoke.Region, scope with { Trace = trace, Invoke = invoke, Depth = scope.Depth + 1, InLoop = false, Steps = null });
        Region(trace.Region, scope with { Trace = trace, Depth = scope.Depth + 1, InLoop = false, Steps = null });
    }

    /// <summary>A module of the program's own: the forward first, then its name, so that it cannot call itself.</summary>
    private void Define(DefineModule module, Scope scope)
    {
        string path = module.Path;
        if (scope.Depth > 0 || scope.Trace is not null) throw Bad("A module is defined at the beginning of a program, before its traces.");
        if (path.Length is 0 or > 500 || !path.Split('.').All(ModulePaths.IsName))
            throw Bad($"`{Short(path)}` is no path of a module.");
        if (_modules.ContainsKey(path) || _model?.Root.Find(path) is not null) throw Make(ErrorCode.BadArgument, $"There is a module `{Short(path)}` already.", "Attach under another name.", Short(path));
        if (module.Forward >= _program.Regions.Count || _program.Regions[(int)module.Forward].Parameters.Count != 1) throw Bad("A module's forward has one input.");
        Region(module.Forward, scope with { Depth = scope.Depth + 1, InModule = path });
        Argument(module.Result, 0);
        _modules[path] = new ModuleInfo { Name = path, ClassName = module.ClassName };
    }

    private void Call(Call call)
    {
        _ = OpTable.Find(call.Op)
            ?? throw Make(ErrorCode.UnknownOp, $"There is no operation `{Short(call.Op)}`.", Errors.DidYouMean(Short(call.Op), OpTable.Rows.Keys));
        ArgumentBinder.Bind(call);
    }

    private void Site(Site site, CallIndex? call, Scope scope)
    {
        if (site is null) throw Bad("A node names no site.");
        if (site.Kind is SiteKind.Unspecified || !Enum.IsDefined(site.Kind)) throw Bad("A site does not say whether it is an input or an output.");
        ModuleInfo module = _modules.GetValueOrDefault(site.Module) ?? Module(site.Module, scope);
        if (OfGenerator(site.Module, scope) && site.Kind is not SiteKind.Output)
            throw Make(ErrorCode.UnknownModule, $"`{site.Module}` has an output and nothing else.", "Use .Output.", site.Module);
        if (module.List) throw Make(ErrorCode.UnknownModule, $"`{site.Module}` is a list of modules: it is never called itself, so it has no {site.Kind.ToString().ToLowerInvariant()}.",
            $"Index it: [0..{module.Children.Count - 1}].", site.Module);
        Operation(module, site.Module, site.Operation);
        if (site.Kind is SiteKind.Hidden && site.Operation.Length > 0) throw Bad("An operation has no hidden state; read its output.");
        Step(call, scope);
    }

    /// <summary>One inside of a module's forward (Source), if one is named.</summary>
    private void Operation(ModuleInfo module, string path, string operation)
    {
        if (operation.Length > 0) _model?.Operation(module, path, operation);
    }

    private void Step(CallIndex? call, Scope scope)
    {
        if (call is null || call.WhichCase is CallIndex.WhichOneofCase.None) throw Bad("A site does not say which call of its module is meant.");
        if (call.WhichCase is CallIndex.WhichOneofCase.Step && scope.Steps?.Each is null) throw Bad("A site refers to the step of an iteration that it does not stand in.");
    }

    /// <summary>True for the sites of a generation itself, which language models have beside their modules.</summary>
    private bool OfGenerator(string path, Scope scope)
    {
        if (!GeneratorSites.Include(path) || _model is null or { Vocabulary: 0 }) return false;
        return scope.Trace?.Mode is Mode.Generate ? true
            : throw Make(ErrorCode.UnknownModule, $"`{path}` is there only while a model generates.", "Open the trace with Generate(...).", path);
    }

    private ModuleInfo Module(string path, Scope? generates = null)
    {
        if (_model is null) return new ModuleInfo();
        if (generates is not null && OfGenerator(path, generates)) return GeneratorSites.Info;
        return _model.Root.Find(path) ?? throw Make(ErrorCode.UnknownModule, $"{_model.Architecture} has no module `{Short(path)}`.",
            ModulePaths.Suggest(_model.Root, Short(path)), Short(path));
    }

    private void ParameterOf(ReadParameter read)
    {
        ModuleInfo module = Module(read.Module);
        if (_model is not null && module.Parameters.All(p => p.Name != read.Name))
            throw Make(ErrorCode.UnknownModule, $"`{Short(read.Module)}` has no parameter `{Short(read.Name)}`.", Errors.DidYouMean(Short(read.Name), module.Parameters.Select(p => p.Name)), read.Module);
    }

    private void Argument(Argument argument, int depth)
    {
        if (argument is null || depth > 32) throw Bad("An argument is missing or nested too deeply.");
        switch (argument.ValueCase)
        {
            case Protocol.Argument.ValueOneofCase.None_: break;
            case Protocol.Argument.ValueOneofCase.Node when argument.Node >= _defined.Length || !_defined[argument.Node] && !(argument.Node < _at && _beside.Contains(argument.Node)):
                throw Bad($"A node uses %{argument.Node} before it is defined.");
            case Protocol.Argument.ValueOneofCase.Constant when argument.Constant >= _program.Constants.Count:
                throw Bad($"A node uses constant {argument.Constant}; the program has {_program.Constants.Count}.");
            case Protocol.Argument.ValueOneofCase.List:
                foreach (Argument item in argument.List.Items) Argument(item, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Tuple:
                foreach (Argument item in argument.Tuple.Items) Argument(item, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Map:
                foreach (ArgumentEntry entry in argument.Map.Entries) Argument(entry.Value, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Slice:
                foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                    if (part is not null) Argument(part, depth + 1);
                break;
        }
    }

    private void Define(uint node)
    {
        if (_defined[node]) throw Bad($"Node {node} stands in two places.");
        _defined[node] = true;
    }

    private Error At(Error error, uint node)
    {
        Error placed = error.Clone();
        placed.Node = node;
        if (_program.Nodes[(int)node].Line is > 0 and var line && line <= _program.Lines.Count) placed.Line = _program.Lines[(int)line - 1];
        return placed;
    }

    private void Start(string module, Scope scope)
    {
        if (scope.Invoke is not { } invoke || invoke.Input is null && !invoke.HasBeside)
            throw Bad("StartAt stands outside of any invoke with a prompt.", "The value takes the place of a prompt's hidden states: give the invoke a prompt of as many tokens.");
        if (scope.InLoop) throw Bad("StartAt stands in a loop.", "A pass begins once.");
        if (scope.Trace!.Mode is Mode.Generate)
            throw Make(ErrorCode.Unsupported, "A generation cannot start at a module: the layers before it would have no keys and values of the prompt.", "Use Trace, or replace the module's input instead.", module);
        if (_model is not null && StartPoints.Refusal(_model, module) is { } refusal) throw Errors.ToException(refusal);
    }

    private static void InTrace(Scope scope, string what)
    {
        if (scope.InModule is { } module) throw Bad($"{what} cannot be used inside of the forward of `{Short(module)}`: it works on its input alone.", "Read it in the trace and give it as the input.");
        if (scope.Trace is null) throw Bad($"{what} can be used only inside of a trace.");
        if (scope.InBackward) throw Bad("Inside of a backward block only gradients can be read; read sites before it.");
    }

    /// <summary>Names from outside are shown, but never at any length.</summary>
    private static string Short(string text) => text.Length <= 200 ? text : text[..200] + "...";

    private static Exception Bad(string message, string hint = "") => Make(ErrorCode.InvalidProgram, message, hint);

    private static Exception Make(ErrorCode code, string message, string hint = "", string module = "") => Errors.Throwable(code, message, hint, module);
}
