using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>A node that is being compiled.</summary>
/// <param name="Id">The position of the node in the program.</param>
/// <param name="Needs">The nodes whose values it uses.</param>
internal readonly record struct CompiledNode(uint Id, uint[] Needs);

/// <summary>Compiles the nodes of a program: from each kind of node to its kind of statement.</summary>
internal sealed class NodeCompiler(Program program, HookedModel model, AutogradRequirements autograd)
    : NodeVisitor<CompiledNode, Statement?>
{
    private readonly Dictionary<string, DefineModule> _definedModules = program.Nodes
        .Where(n => n.KindCase is Node.KindOneofCase.DefineModule).ToDictionary(n => n.DefineModule.Path, n => n.DefineModule);

    /// <summary>Compiles one node.</summary>
    /// <returns>Null for a parameter of a region: the statement that runs the region assigns it.</returns>
    public Statement? Compile(uint id)
    {
        Node node = program.Nodes[(int)id];
        return Visit(node, new CompiledNode(id, [.. node.Dependencies().Distinct()]));
    }

    protected override Statement? VisitNone(CompiledNode node) =>
        throw Errors.CreateException(ErrorCode.Unsupported, "A node of this kind is not supported by this version of the engine.");

    protected override Statement? VisitRegionParameter(RegionParameter parameter, CompiledNode node) => null;

    protected override Statement VisitRead(ReadSite read, CompiledNode node) =>
        read.Site.Module == GeneratorSites.Generator && model is HookedLanguageModel
            ? new ResultStatement(node.Id) // another name for the result
            : new ReadStatement(
                node.Id, HookPointOf(read.Site), read.Site.Kind, CallIndexOf(read.Call), autograd.RequiresGrad.Contains(node.Id));

    protected override Statement VisitWrite(WriteSite write, CompiledNode node) => new WriteStatement(
        node.Id, node.Needs, HookPointOf(write.Site), write.Site.Kind, CallIndexOf(write.Call), Operand.Of(write.Value));

    protected override Statement VisitSkip(SkipModule skip, CompiledNode node)
    {
        var skipped = new HookPoint(model.IndexOf(skip.Module), IsAfter: false, OperationIndexOf(skip.Module, skip.Operation));
        return new SkipStatement(node.Id, node.Needs, skipped, CallIndexOf(skip.Call), Operand.Of(skip.Value));
    }

    protected override Statement VisitStartAt(StartAt start, CompiledNode node)
    {
        int module = model.IndexOf(start.Module), embedding = model.IndexOf(model.Description.Names.Embed);
        int[] skipped = [.. StartPoints.GetModulesBefore(model.Description, start.Module).Select(model.IndexOf)];
        return new StartAtStatement(node.Id, node.Needs, module, skipped, embedding, Operand.Of(start.Value));
    }

    protected override Statement VisitCall(Call call, CompiledNode node) => new CallStatement(
        node.Id, node.Needs, OpTable.Rows[call.Op], [.. ArgumentBinder.Bind(call).Select(Operand.Of)]);

    protected override Statement VisitDefineModule(DefineModule module, CompiledNode node) =>
        new DefineModuleStatement(node.Id, module.Path, [.. program.RegionDependencies(module.Forward)]);

    protected override Statement VisitCallModule(CallModule call, CompiledNode node) =>
        _definedModules.TryGetValue(call.Module, out DefineModule? called)
            ? new CallDefinedStatement(
                node.Id, node.Needs, called.Path, called.Forward, program.Regions[(int)called.Forward].Parameters[0],
                Operand.Of(call.Arguments[0]), Operand.Of(called.Result))
            : new CallModuleStatement(
                node.Id, node.Needs, model.IndexOf(call.Module), ToOperands(call.Arguments),
                [.. call.Keywords.Select(k => KeyValuePair.Create(k.Key, Operand.Of(k.Value)))],
                [.. call.Adapters.Select(CompileAdapter)]);

    protected override Statement VisitParameter(ReadParameter parameter, CompiledNode node) =>
        new ParameterStatement(node.Id, model.IndexOf(parameter.Module), parameter.Name);

    protected override Statement VisitResult(ReadResult result, CompiledNode node) => new ResultStatement(node.Id);

    protected override Statement VisitSave(Save save, CompiledNode node) =>
        new SaveStatement(node.Id, node.Needs, Operand.Of(save.Value), save.Name);

    protected override Statement VisitContainer(MakeContainer container, CompiledNode node) => new ContainerStatement(
        node.Id, node.Needs, ToOperands(container.Items),
        container.Map ? [.. container.Entries.Select(e => KeyValuePair.Create(e.Key, Operand.Of(e.Value)))] : null);

    protected override Statement VisitAppend(Append append, CompiledNode node) =>
        new AppendStatement(node.Id, node.Needs, append.Container, Operand.Of(append.Value));

    protected override Statement VisitPut(PutEntry put, CompiledNode node) =>
        new PutStatement(node.Id, node.Needs, put.Container, put.Key, Operand.Of(put.Value));

    protected override Statement VisitSetVariable(SetVariable set, CompiledNode node) =>
        new SetVariableStatement(node.Id, node.Needs, set.Node, Operand.Of(set.Value));

    protected override Statement VisitLog(Protocol.Log log, CompiledNode node) =>
        new LogStatement(node.Id, node.Needs, ToOperands(log.Values));

    protected override Statement VisitLocal(LocalCall call, CompiledNode node) => new LocalCallStatement(
        node.Id, node.Needs, call.Callback, ToOperands(call.Values), TimeSpan.FromSeconds(call.TimeoutSeconds));

    protected override Statement VisitBarrier(Protocol.Messages.Barrier barrier, CompiledNode node) =>
        new BarrierStatement(node.Id, barrier.Id, (int)barrier.Participants);

    protected override Statement VisitStop(Stop stop, CompiledNode node) => new StopStatement(node.Id);

    protected override Statement VisitBreak(Break statement, CompiledNode node) => new BreakStatement(node.Id);

    protected override Statement VisitSteps(StepLoop loop, CompiledNode node) => loop.Each is not { } each
        ? new StepsStatement(node.Id, [.. loop.Unrolled.Select(s => ToInt32(s.Index))], [.. loop.Unrolled.Select(s => s.Region)])
        : new EachStepStatement(
            node.Id, ToInt32(each.Start), each.HasStop ? ToInt32(each.Stop) : null, Math.Max(1, ToInt32(each.Stride)), loop.Region,
            VariableOf(loop.Region));

    protected override Statement VisitIf(If statement, CompiledNode node) => new IfStatement(
        node.Id, node.Needs, [.. statement.Branches.Select(b => (b.Condition is null ? null : Operand.Of(b.Condition), b.Region))]);

    protected override Statement VisitForEach(ForEach loop, CompiledNode node) =>
        new ForEachStatement(node.Id, node.Needs, Operand.Of(loop.Items), loop.Region, VariableOf(loop.Region));

    protected override Statement VisitWhile(While loop, CompiledNode node) =>
        new WhileStatement(node.Id, loop.ConditionRegion, Operand.Of(loop.Condition), loop.Region, loop.Limit);

    protected override Statement VisitCache(Cache cache, CompiledNode node)
    {
        int[] modules = cache.Modules.Count > 0
            ? [.. cache.Modules.Select(model.IndexOf)]
            : [.. Enumerable.Range(0, model.Paths.Count).Where(m => !GeneratorSites.Contains(model.Paths[m]) && !model.IsVirtual(m))];
        return new CacheStatement(
            node.Id, modules, cache.Outputs, cache.Inputs, cache.Routing ? model.RoutingPoints : [],
            cache.Dtype is DataType.Unspecified ? null : ((DType)cache.Dtype).ToTorch(), cache.Name);
    }

    /// <summary>A backward pass cannot wait for another invoke, so it needs all values of its block when it begins.</summary>
    protected override Statement VisitBackward(Backward backward, CompiledNode node) => new BackwardStatement(
        node.Id, [.. node.Needs.Concat(program.RegionDependencies(backward.Region)).Distinct()], Operand.Of(backward.Loss),
        backward.Gradient is { } gradient ? Operand.Of(gradient) : null, backward.Region, autograd.AccessedInBackward[node.Id]);

    protected override Statement VisitReadGradient(ReadGradient read, CompiledNode node) =>
        new ReadGradientStatement(node.Id, node.Needs, read.Node);

    protected override Statement VisitWriteGradient(WriteGradient write, CompiledNode node) =>
        new WriteGradientStatement(node.Id, node.Needs, write.Node, Operand.Of(write.Value));

    protected override Statement VisitNewParameter(NewParameter parameter, CompiledNode node) =>
        new NewParameterStatement(node.Id, node.Needs, Operand.Of(parameter.Initial));

    protected override Statement VisitNewOptimizer(NewOptimizer optimizer, CompiledNode node) =>
        new NewOptimizerStatement(node.Id, node.Needs, optimizer);

    protected override Statement VisitOptimizerStep(OptimizerStep step, CompiledNode node) =>
        new OptimizerStepStatement(node.Id, node.Needs, step.Optimizer, step.Zero);

    protected override Statement VisitTrace(Protocol.Messages.Trace trace, CompiledNode node)
    {
        if (trace.Mode is Mode.Scan != model.IsOnMetaDevice)
        {
            throw Errors.CreateException(
                ErrorCode.Unsupported, "A scan runs in its user's process, and not beside traces that compute.",
                "Open it with Scan(...), outside of a session.");
        }
        return new TraceStatement(node.Id, node.Needs, trace, [.. trace.Invokes.Select(CompileInput)]);
    }

    private ModuleCallAdapter CompileAdapter(CallAdapter adapter)
    {
        var parameters = program.Regions[(int)adapter.Forward].Parameters;
        return new ModuleCallAdapter(
            model.IndexOf(adapter.Module), adapter.Forward, parameters[0], parameters[1], Operand.Of(adapter.Result));
    }

    private HookPoint HookPointOf(Site site)
    {
        bool isAfter = site.Kind is SiteKind.Output or SiteKind.Hidden;
        return _definedModules.ContainsKey(site.Module)
            ? new HookPoint(HookPoint.ProgramModule, isAfter, DefinedPath: site.Module)
            : new HookPoint(model.IndexOf(site.Module), isAfter, OperationIndexOf(site.Module, site.Operation));
    }

    private int OperationIndexOf(string module, string operation)
    {
        if (operation.Length == 0) return HookPoint.WholeModule;
        ModuleInfo info = model.Description.Root.Find(module)!;
        return model.OperationIndexOf(model.IndexOf(module), model.Description.FindOperation(info, module, operation).Path);
    }

    private uint? VariableOf(uint region) => program.Regions[(int)region].Parameters is [uint variable, ..] ? variable : null;

    private static int? CallIndexOf(CallIndex call) => call.WhichCase is CallIndex.WhichOneofCase.At ? ToInt32(call.At) : null;

    private static int ToInt32(uint number) => (int)Math.Min(number, int.MaxValue);

    private static Operand[] ToOperands(IEnumerable<Argument> arguments) => [.. arguments.Select(Operand.Of)];

    private static InvokeInput CompileInput(Protocol.Messages.Invoke invoke) => new(
        invoke.Input, invoke.Region, invoke.HasBeside ? (int)invoke.Beside : null,
        invoke.Input?.Ids is { } ids ? Operand.Of(ids) : null,
        invoke.Input?.AttentionMask is { } mask ? Operand.Of(mask) : null,
        invoke.Input?.TokenTypeIds is { } types ? Operand.Of(types) : null,
        invoke.Input?.DecoderIds is { } decoderIds ? Operand.Of(decoderIds) : null,
        [.. invoke.Input?.Arguments.Select(Operand.Of) ?? []]);
}
