using Ndif.Protocol.Ops;

namespace Ndif.Protocol.Programs;

/// <summary>
/// Checks a program before anything is queued or run: structure, operations, module paths, order of definition and use, limits.
/// What passes here runs, or fails with a typed error; it never crashes a process. The client, the gateway and the engine call
/// the same check.
/// </summary>
public sealed class ProgramValidator
{
    private static readonly HashSet<string> _supportedFeatures = [];

    private readonly Program _program;
    private readonly ModelDescription? _model;
    private readonly ProgramLimits _limits;
    private readonly bool[] _isDefined, _isRegionVisited;
    private readonly HashSet<uint> _nodesBesideInvokes = [];
    private readonly Dictionary<string, ModuleInfo> _modules = [];
    private int _visitedNodes;
    private uint _currentNode;

    private ProgramValidator(Program program, ModelDescription? model, ProgramLimits limits)
    {
        (_program, _model, _limits) = (program, model, limits);
        _isDefined = new bool[program.Nodes.Count];
        _isRegionVisited = new bool[program.Regions.Count];
    }

    /// <summary>The limits of a program that runs in its user's own process.</summary>
    public static ProgramLimits LocalLimits => new() { Nodes = 1_000_000, Nesting = 64, MessageBytes = int.MaxValue, ConstantBytes = long.MaxValue, Tokens = 1 << 20 };

    /// <summary>The first thing that is wrong, or null.</summary>
    /// <param name="model">The named model; null skips the check of paths.</param>
    public static Error? Validate(Program program, ModelDescription? model, ProgramLimits limits)
    {
        try
        {
            new ProgramValidator(program, model, limits).ValidateProgram();
            return null;
        }
        catch (Exception e) when (e is NdifException or { InnerException: NdifException })
        {
            return Errors.FromException(e);
        }
    }

    private void ValidateProgram()
    {
        if (_program.Version != ProgramFormat.Version)
            throw InvalidProgram($"The program has format version {_program.Version}; this side reads version {ProgramFormat.Version}.", "Update the older of client and service.");
        if (_program.RequiredFeatures.FirstOrDefault(f => !_supportedFeatures.Contains(f)) is { } feature)
            throw CreateException(ErrorCode.Unsupported, $"The program needs the feature `{feature}`, which this service does not have.");
        if (_limits.Nodes > 0 && _program.Nodes.Count > _limits.Nodes)
            throw CreateException(ErrorCode.LimitExceeded, $"The program has {_program.Nodes.Count} nodes; at most {_limits.Nodes} are allowed.", "Split it, or use a recorded loop instead of an unrolled one.");
        if (_program.Regions.Count == 0 || _program.Nodes.Count == 0) throw InvalidProgram("The program is empty.");
        ValidateConstants();
        ValidateRegion(0, new RegionContext(null, null, null, 0));
        if (_visitedNodes < _program.Nodes.Count(n => n.KindCase is not Node.KindOneofCase.RegionParameter))
            throw InvalidProgram("Some nodes of the program stand in no region, so they would never run.");
    }

    private void ValidateConstants()
    {
        ulong total = 0;
        for (int i = 0; i < _program.Constants.Count; i++)
        {
            Tensor tensor = _program.Constants[i];
            if (!Enum.IsDefined((DType)tensor.Dtype)) throw InvalidProgram($"Constant {i} has the unknown element type {(int)tensor.Dtype}.");
            System.Int128 bytes = ((DType)tensor.Dtype).ItemSize();
            foreach (long size in tensor.Shape)
            {
                if (size < 0) throw InvalidProgram($"Constant {i} has the negative size {size}.");
                bytes *= size;
                if (bytes > long.MaxValue) throw InvalidProgram($"The shape of constant {i} is too large for any tensor.");
            }
            ulong length = tensor.ContentCase switch
            {
                Tensor.ContentOneofCase.Inline => (ulong)tensor.Inline.Length,
                Tensor.ContentOneofCase.Blob when tensor.Blob.Id.Length == 64 && tensor.Blob.Id.All(char.IsAsciiHexDigitLower) => tensor.Blob.Length,
                Tensor.ContentOneofCase.Blob => throw InvalidProgram($"Constant {i} refers to `{Truncate(tensor.Blob.Id)}`, which is not the SHA-256 of anything."),
                _ => throw InvalidProgram($"Constant {i} has no content."),
            };
            if ((System.Int128)length != bytes) throw InvalidProgram($"Constant {i} has {length} bytes where its shape [{string.Join(", ", tensor.Shape)}] of {((DType)tensor.Dtype).TorchName()} needs {bytes}.");
            total += length;
        }
        if (_limits.ConstantBytes > 0 && total > _limits.ConstantBytes)
            throw CreateException(ErrorCode.LimitExceeded, $"The program's constants have {total} bytes; at most {_limits.ConstantBytes} are allowed.");
    }

    /// <summary>Where a region stands.</summary>
    private sealed record RegionContext(Trace? Trace, Invoke? Invoke, StepLoop? Steps, int Depth, bool InLoop = false, bool InBackward = false, string? InModule = null);

    private void ValidateRegion(uint id, RegionContext scope)
    {
        if (id >= _program.Regions.Count) throw InvalidProgram($"The program refers to region {id}; it has {_program.Regions.Count}.");
        if (_isRegionVisited[id]) throw InvalidProgram($"Region {id} stands in two places.");
        _isRegionVisited[id] = true;
        if (_limits.Nesting > 0 && scope.Depth > _limits.Nesting)
            throw CreateException(ErrorCode.LimitExceeded, $"The program is nested deeper than {_limits.Nesting} levels.");
        Region region = _program.Regions[(int)id];
        foreach (uint parameter in region.Parameters)
        {
            if (parameter >= _program.Nodes.Count || _program.Nodes[(int)parameter].KindCase is not Node.KindOneofCase.RegionParameter)
                throw InvalidProgram($"Region {id} has the parameter {parameter}, which is not one.");
            Define(parameter);
        }
        foreach (uint node in region.Nodes)
        {
            if (node >= _program.Nodes.Count) throw InvalidProgram($"Region {id} holds node {node}; the program has {_program.Nodes.Count}.");
            _currentNode = node;
            try
            {
                ValidateNode(_program.Nodes[(int)node], scope);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.FromException(e).HasNode)
            {
                throw Errors.ToException(WithLocation(Errors.FromException(e), node), e);
            }
            _visitedNodes++;
            Define(node);
        }
    }

    private void ValidateNode(Node node, RegionContext scope)
    {
        if (node.Line > _program.Lines.Count) throw InvalidProgram($"A node refers to line {node.Line}; the program has {_program.Lines.Count}.");
        if (node.KindCase is Node.KindOneofCase.None or Node.KindOneofCase.RegionParameter) throw InvalidProgram("A node has no kind.");
        foreach (Argument argument in node.Arguments()) ValidateArgument(argument, 0);
        switch (node.KindCase)
        {
            case Node.KindOneofCase.Call: ValidateCall(node.Call); break;
            case Node.KindOneofCase.Read: RequireTrace(scope, "A site"); ValidateSite(node.Read.Site, node.Read.Call, scope); break;
            case Node.KindOneofCase.Write:
                RequireTrace(scope, "A site");
                ValidateSite(node.Write.Site, node.Write.Call, scope);
                if (node.Write.Site.Module == GeneratorSites.Generator && IsGeneratorSite(node.Write.Site.Module, scope))
                    throw CreateException(ErrorCode.BadArgument, "The result of a generation can be read, not replaced.", "Replace tokens as they are chosen: Generator.Streamer.Output.");
                break;
            case Node.KindOneofCase.Skip: RequireTrace(scope, "Skip"); ValidateOperation(ResolveModule(node.Skip.Module), node.Skip.Module, node.Skip.Operation); ValidateCallIndex(node.Skip.Call, scope); break;
            case Node.KindOneofCase.StartAt: RequireTrace(scope, "StartAt"); ResolveModule(node.StartAt.Module); ValidateStartAt(node.StartAt.Module, scope); break;
            case Node.KindOneofCase.DefineModule: Define(node.DefineModule, scope); break;
            case Node.KindOneofCase.CallModule when _modules.ContainsKey(node.CallModule.Module):
                if (node.CallModule is not { Arguments.Count: 1, Keywords.Count: 0 }) throw CreateException(ErrorCode.BadArgument, $"`{Truncate(node.CallModule.Module)}` takes one input.");
                break;
            case Node.KindOneofCase.CallModule: ResolveModule(node.CallModule.Module); break;
            case Node.KindOneofCase.Parameter: ValidateParameter(node.Parameter); break;
            case Node.KindOneofCase.Result or Node.KindOneofCase.Stop or Node.KindOneofCase.Barrier: RequireTrace(scope, node.KindCase.ToString()); break;
            case Node.KindOneofCase.Cache:
                RequireTrace(scope, "A cache");
                foreach (string path in node.Cache.Modules)
                    if (ResolveModule(path).List) throw CreateException(ErrorCode.UnknownModule, $"`{Truncate(path)}` is a list of modules: it is never called itself.", "Cache its modules.", Truncate(path));
                break;
            case Node.KindOneofCase.Break when !scope.InLoop: throw InvalidProgram("Break stands outside of any loop.");
            case Node.KindOneofCase.Backward when scope.InBackward: throw InvalidProgram("A backward pass stands inside of another one's block.");
            case Node.KindOneofCase.Backward when scope.Trace is { Gradients: false }:
                throw CreateException(ErrorCode.NoGradient, "Backward needs a trace with gradients; this one builds no graph.", "Open it with grad: true.");
            case Node.KindOneofCase.Local when !(node.Local.TimeoutSeconds is > 0 and <= 86_400):
                throw InvalidProgram("A local call needs a time limit of up to a day.");
            case Node.KindOneofCase.NewOptimizer:
                new OptimizerSettings(node.NewOptimizer).Validate();
                if (node.NewOptimizer.Parameters.Any(p => _program.Nodes[(int)p].KindCase is not Node.KindOneofCase.NewParameter))
                    throw CreateException(ErrorCode.BadArgument, "An optimizer trains parameters of the program.", "Pass what Parameter(...) returned.");
                break;
            case Node.KindOneofCase.OptimizerStep when _program.Nodes[(int)node.OptimizerStep.Optimizer].KindCase is not Node.KindOneofCase.NewOptimizer:
                throw InvalidProgram("A step of an optimizer refers to something else.");
            case Node.KindOneofCase.Trace: ValidateTrace(node.Trace, scope); return;
        }
        foreach (uint region in node.Regions())
        {
            if (node.KindCase is Node.KindOneofCase.DefineModule) continue; // visited with its parameter
            bool loop = node.KindCase is Node.KindOneofCase.ForEach or Node.KindOneofCase.While or Node.KindOneofCase.Steps;
            ValidateRegion(region, scope with
            {
                Depth = scope.Depth + 1,
                InLoop = node.KindCase is not Node.KindOneofCase.Backward && (scope.InLoop || loop),
                Steps = node.KindCase is Node.KindOneofCase.Steps ? node.Steps : scope.Steps,
                InBackward = scope.InBackward || node.KindCase is Node.KindOneofCase.Backward,
            });
        }
        if (node.KindCase is Node.KindOneofCase.While) ValidateArgument(node.While.Condition ?? throw InvalidProgram("A while loop has no condition."), 0);
    }

    private void ValidateTrace(Trace trace, RegionContext scope)
    {
        if (scope.Trace is not null) throw InvalidProgram("A trace stands inside of another one.");
        if (scope.InBackward) throw InvalidProgram("A trace stands inside of a backward block.");
        if (scope.InModule is not null) throw InvalidProgram("A trace stands inside of a module's forward.");
        if (trace is { Gradients: true, Mode: not Mode.Forward })
            throw CreateException(ErrorCode.Unsupported, $"A {(trace.Mode is Mode.Scan ? "scan" : "generation")} has no gradients.", "Use a trace of one forward pass: Trace(prompt, grad: true).");
        if (trace.Mode is Mode.Unspecified || !Enum.IsDefined(trace.Mode)) throw InvalidProgram("A trace does not say what to run.");
        if (!trace.Invokes.Any(i => i.Input is not null)) throw CreateException(ErrorCode.BadInput, "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt).");
        // recorded between the invokes, and used by later ones: visited after them, but defined before
        if (trace.Region < _program.Regions.Count) _nodesBesideInvokes.UnionWith(_program.Regions[(int)trace.Region].Nodes);
        if (trace.Invokes.Any(i => i.HasBeside && (i.Input is not null || i.Beside >= trace.Invokes.Count || trace.Invokes[(int)i.Beside].Input is null)))
            throw InvalidProgram("An invoke stands beside one that has no rows.");
        if (trace.Generation is { } generation) GenerationOptionsValidator.Validate(generation);
        foreach (Invoke invoke in trace.Invokes)
            if (invoke.Generation is { } own) GenerationOptionsValidator.ValidateForInvoke(own);
        foreach (Invoke invoke in trace.Invokes)
            ValidateRegion(invoke.Region, scope with { Trace = trace, Invoke = invoke, Depth = scope.Depth + 1, InLoop = false, Steps = null });
        ValidateRegion(trace.Region, scope with { Trace = trace, Depth = scope.Depth + 1, InLoop = false, Steps = null });
    }

    /// <summary>A module of the program's own: the forward first, then its name, so that it cannot call itself.</summary>
    private void Define(DefineModule module, RegionContext scope)
    {
        string path = module.Path;
        if (scope.Depth > 0 || scope.Trace is not null) throw InvalidProgram("A module is defined at the beginning of a program, before its traces.");
        if (path.Length is 0 or > 500 || !path.Split('.').All(ModulePaths.IsValidName))
            throw InvalidProgram($"`{Truncate(path)}` is no path of a module.");
        if (_modules.ContainsKey(path) || _model?.Root.Find(path) is not null) throw CreateException(ErrorCode.BadArgument, $"There is a module `{Truncate(path)}` already.", "Attach under another name.", Truncate(path));
        if (module.Forward >= _program.Regions.Count || _program.Regions[(int)module.Forward].Parameters.Count != 1) throw InvalidProgram("A module's forward has one input.");
        ValidateRegion(module.Forward, scope with { Depth = scope.Depth + 1, InModule = path });
        ValidateArgument(module.Result, 0);
        _modules[path] = new ModuleInfo { Name = path, ClassName = module.ClassName };
    }

    private void ValidateCall(Call call)
    {
        _ = OpTable.Find(call.Op)
            ?? throw CreateException(ErrorCode.UnknownOp, $"There is no operation `{Truncate(call.Op)}`.", Errors.DidYouMean(Truncate(call.Op), OpTable.Rows.Keys));
        ArgumentBinder.Bind(call);
    }

    private void ValidateSite(Site site, CallIndex? call, RegionContext scope)
    {
        if (site is null) throw InvalidProgram("A node names no site.");
        if (site.Kind is SiteKind.Unspecified || !Enum.IsDefined(site.Kind)) throw InvalidProgram("A site does not say whether it is an input or an output.");
        ModuleInfo module = _modules.GetValueOrDefault(site.Module) ?? ResolveModule(site.Module, scope);
        if (IsGeneratorSite(site.Module, scope) && site.Kind is not SiteKind.Output)
            throw CreateException(ErrorCode.UnknownModule, $"`{site.Module}` has an output and nothing else.", "Use .Output.", site.Module);
        if (module.List) throw CreateException(ErrorCode.UnknownModule, $"`{site.Module}` is a list of modules: it is never called itself, so it has no {site.Kind.ToString().ToLowerInvariant()}.",
            $"Index it: [0..{module.Children.Count - 1}].", site.Module);
        ValidateOperation(module, site.Module, site.Operation);
        if (site.Kind is SiteKind.Hidden && site.Operation.Length > 0) throw InvalidProgram("An operation has no hidden state; read its output.");
        ValidateCallIndex(call, scope);
    }

    /// <summary>One inside of a module's forward (Source), if one is named.</summary>
    private void ValidateOperation(ModuleInfo module, string path, string operation)
    {
        if (operation.Length > 0) _model?.FindOperation(module, path, operation);
    }

    private void ValidateCallIndex(CallIndex? call, RegionContext scope)
    {
        if (call is null || call.WhichCase is CallIndex.WhichOneofCase.None) throw InvalidProgram("A site does not say which call of its module is meant.");
        if (call.WhichCase is CallIndex.WhichOneofCase.Step && scope.Steps?.Each is null) throw InvalidProgram("A site refers to the step of an iteration that it does not stand in.");
    }

    /// <summary>True for the sites of a generation itself, which language models have beside their modules.</summary>
    private bool IsGeneratorSite(string path, RegionContext scope)
    {
        if (!GeneratorSites.Contains(path) || _model is null or { Vocabulary: 0 }) return false;
        return scope.Trace?.Mode is Mode.Generate ? true
            : throw CreateException(ErrorCode.UnknownModule, $"`{path}` is there only while a model generates.", "Open the trace with Generate(...).", path);
    }

    private ModuleInfo ResolveModule(string path, RegionContext? generationScope = null)
    {
        if (_model is null) return new ModuleInfo();
        if (generationScope is not null && IsGeneratorSite(path, generationScope)) return GeneratorSites.Info;
        return _model.Root.Find(path) ?? throw CreateException(ErrorCode.UnknownModule, $"{_model.Architecture} has no module `{Truncate(path)}`.",
            ModulePaths.GetSuggestion(_model.Root, Truncate(path)), Truncate(path));
    }

    private void ValidateParameter(ReadParameter read)
    {
        ModuleInfo module = ResolveModule(read.Module);
        if (_model is not null && module.Parameters.All(p => p.Name != read.Name))
            throw CreateException(ErrorCode.UnknownModule, $"`{Truncate(read.Module)}` has no parameter `{Truncate(read.Name)}`.", Errors.DidYouMean(Truncate(read.Name), module.Parameters.Select(p => p.Name)), read.Module);
    }

    private void ValidateArgument(Argument argument, int depth)
    {
        if (argument is null || depth > 32) throw InvalidProgram("An argument is missing or nested too deeply.");
        switch (argument.ValueCase)
        {
            case Protocol.Argument.ValueOneofCase.None_: break;
            case Protocol.Argument.ValueOneofCase.Node when argument.Node >= _isDefined.Length || !_isDefined[argument.Node] && !(argument.Node < _currentNode && _nodesBesideInvokes.Contains(argument.Node)):
                throw InvalidProgram($"A node uses %{argument.Node} before it is defined.");
            case Protocol.Argument.ValueOneofCase.Constant when argument.Constant >= _program.Constants.Count:
                throw InvalidProgram($"A node uses constant {argument.Constant}; the program has {_program.Constants.Count}.");
            case Protocol.Argument.ValueOneofCase.List:
                foreach (Argument item in argument.List.Items) ValidateArgument(item, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Tuple:
                foreach (Argument item in argument.Tuple.Items) ValidateArgument(item, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Map:
                foreach (ArgumentEntry entry in argument.Map.Entries) ValidateArgument(entry.Value, depth + 1);
                break;
            case Protocol.Argument.ValueOneofCase.Slice:
                foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                    if (part is not null) ValidateArgument(part, depth + 1);
                break;
        }
    }

    private void Define(uint node)
    {
        if (_isDefined[node]) throw InvalidProgram($"Node {node} stands in two places.");
        _isDefined[node] = true;
    }

    private Error WithLocation(Error error, uint node)
    {
        Error placed = error.Clone();
        placed.Node = node;
        if (_program.Nodes[(int)node].Line is > 0 and var line && line <= _program.Lines.Count) placed.Line = _program.Lines[(int)line - 1];
        return placed;
    }

    private void ValidateStartAt(string module, RegionContext scope)
    {
        if (scope.Invoke is not { } invoke || invoke.Input is null && !invoke.HasBeside)
            throw InvalidProgram("StartAt stands outside of any invoke with a prompt.", "The value takes the place of a prompt's hidden states: give the invoke a prompt of as many tokens.");
        if (scope.InLoop) throw InvalidProgram("StartAt stands in a loop.", "A pass begins once.");
        if (scope.Trace!.Mode is Mode.Generate)
            throw CreateException(ErrorCode.Unsupported, "A generation cannot start at a module: the layers before it would have no keys and values of the prompt.", "Use Trace, or replace the module's input instead.", module);
        if (_model is not null && StartPoints.Validate(_model, module) is { } refusal) throw Errors.ToException(refusal);
    }

    private static void RequireTrace(RegionContext scope, string what)
    {
        if (scope.InModule is { } module) throw InvalidProgram($"{what} cannot be used inside of the forward of `{Truncate(module)}`: it works on its input alone.", "Read it in the trace and give it as the input.");
        if (scope.Trace is null) throw InvalidProgram($"{what} can be used only inside of a trace.");
        if (scope.InBackward) throw InvalidProgram("Inside of a backward block only gradients can be read; read sites before it.");
    }

    /// <summary>Names from outside are shown, but never at any length.</summary>
    private static string Truncate(string text) => text.Length <= 200 ? text : text[..200] + "...";

    private static Exception InvalidProgram(string message, string hint = "") => CreateException(ErrorCode.InvalidProgram, message, hint);

    private static Exception CreateException(ErrorCode code, string message, string hint = "", string module = "") => Errors.CreateException(code, message, hint, module);
}
