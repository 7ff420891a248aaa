using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Kernels;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>From a validated program to a <see cref="Plan"/> for one model.</summary>
internal static class Compiler
{
    /// <summary>Validates and compiles.</summary>
    /// <exception cref="NdifException">The program is not valid for this model, or uses what this version does not have.</exception>
    public static Plan Compile(Program program, HookedModel model, ProgramLimits? limits = null)
    {
        if (ProgramValidator.Validate(program, model.Description, limits ?? ProgramValidator.LocalLimits) is { } error)
            throw Errors.ToException(error);
        var statements = new Statement?[program.Nodes.Count];
        HashSet<HookPoint> points = [];
        AutogradRequirements graph = AutogradRequirements.Analyze(program);
        Dictionary<string, DefineModule> defined = program.Nodes.Where(n => n.KindCase is Node.KindOneofCase.DefineModule)
            .ToDictionary(n => n.DefineModule.Path, n => n.DefineModule);
        for (uint id = 0; id < statements.Length; id++)
        {
            try
            {
                statements[id] = CompileNode(id, program, model, points, graph, defined);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.FromException(e).HasNode)
            {
                Error placed = Errors.FromException(e).Clone();
                placed.Node = id;
                if (program.Nodes[(int)id].Line is > 0 and var line) placed.Line = program.Lines[(int)line - 1];
                throw Errors.ToException(placed, e);
            }
        }
        uint[][] regions = [.. program.Regions.Select(r => r.Nodes.ToArray())];
        ValueLifetimes lifetimes = ValueLifetimes.Analyze(program);
        foreach (Statement statement in statements.OfType<Statement>()) statement.FreedAfter = lifetimes.FreedAfter(statement.Id);
        return new Plan(program, model, statements, regions, points, lifetimes.OwnerRegions, graph);
    }

    private static Statement? CompileNode(uint id, Program program, HookedModel model, HashSet<HookPoint> hookPoints, AutogradRequirements autograd,
        Dictionary<string, DefineModule> definedModules)
    {
        Node node = program.Nodes[(int)id];
        uint[] needs = [.. node.Dependencies().Distinct()];
        switch (node.KindCase)
        {
            case Node.KindOneofCase.RegionParameter:
                return null;
            case Node.KindOneofCase.Read when node.Read.Site.Module == GeneratorSites.Generator && model is HookedLanguageModel:
                return new ResultStatement(id); // another name of it
            case Node.KindOneofCase.Read:
                return new ReadStatement(id, At(node.Read.Site), node.Read.Site.Kind, CallIndexOf(node.Read.Call), autograd.RequiresGrad.Contains(id));
            case Node.KindOneofCase.Write:
                return new WriteStatement(id, needs, At(node.Write.Site), node.Write.Site.Kind, CallIndexOf(node.Write.Call), Operand.Of(node.Write.Value));
            case Node.KindOneofCase.Skip:
                var skipped = new HookPoint(model.IndexOf(node.Skip.Module), IsAfter: false, Operation(node.Skip.Module, node.Skip.Operation));
                hookPoints.Add(skipped);
                return new SkipStatement(id, needs, skipped, CallIndexOf(node.Skip.Call), Operand.Of(node.Skip.Value));
            case Node.KindOneofCase.StartAt:
                int start = model.IndexOf(node.StartAt.Module), embed = model.IndexOf(model.Description.Names.Embed);
                int[] before = [.. StartPoints.GetModulesBefore(model.Description, node.StartAt.Module).Select(model.IndexOf)];
                foreach (int module in (int[])[embed, .. before, start]) hookPoints.Add(new HookPoint(module, IsAfter: false));
                return new StartAtStatement(id, needs, start, before, embed, Operand.Of(node.StartAt.Value));
            case Node.KindOneofCase.Call:
                return new CallStatement(id, needs, OpTable.Rows[node.Call.Op], [.. ArgumentBinder.Bind(node.Call).Select(Operand.Of)]);
            case Node.KindOneofCase.DefineModule:
                return new DefineModuleStatement(id, node.DefineModule.Path, [.. program.RegionDependencies(node.DefineModule.Forward)]);
            case Node.KindOneofCase.CallModule when definedModules.TryGetValue(node.CallModule.Module, out DefineModule? called):
                return new CallDefinedStatement(id, needs, called.Path, called.Forward, program.Regions[(int)called.Forward].Parameters[0],
                    Operand.Of(node.CallModule.Arguments[0]), Operand.Of(called.Result));
            case Node.KindOneofCase.CallModule:
                return new CallModuleStatement(id, needs, model.IndexOf(node.CallModule.Module),
                    [.. node.CallModule.Arguments.Select(Operand.Of)], [.. node.CallModule.Keywords.Select(k => KeyValuePair.Create(k.Key, Operand.Of(k.Value)))]);
            case Node.KindOneofCase.Parameter:
                return new ParameterStatement(id, model.IndexOf(node.Parameter.Module), node.Parameter.Name);
            case Node.KindOneofCase.Result:
                return new ResultStatement(id);
            case Node.KindOneofCase.Save:
                return new SaveStatement(id, needs, Operand.Of(node.Save.Value), node.Save.Name);
            case Node.KindOneofCase.Container:
                return new ContainerStatement(id, needs, [.. node.Container.Items.Select(Operand.Of)],
                    node.Container.Map ? [.. node.Container.Entries.Select(e => KeyValuePair.Create(e.Key, Operand.Of(e.Value)))] : null);
            case Node.KindOneofCase.Append:
                return new AppendStatement(id, needs, node.Append.Container, Operand.Of(node.Append.Value));
            case Node.KindOneofCase.Log:
                return new LogStatement(id, needs, [.. node.Log.Values.Select(Operand.Of)]);
            case Node.KindOneofCase.Barrier:
                return new BarrierStatement(id, node.Barrier.Id, (int)node.Barrier.Participants);
            case Node.KindOneofCase.Stop:
                return new StopStatement(id);
            case Node.KindOneofCase.Steps when node.Steps.Each is null:
                return new StepsStatement(id, [.. node.Steps.Unrolled.Select(s => ToInt32(s.Index))], [.. node.Steps.Unrolled.Select(s => s.Region)]);
            case Node.KindOneofCase.Steps:
                return new EachStepStatement(id, ToInt32(node.Steps.Each.Start), node.Steps.Each.HasStop ? ToInt32(node.Steps.Each.Stop) : null,
                    Math.Max(1, ToInt32(node.Steps.Each.Stride)), node.Steps.Region, VariableOf(program, node.Steps.Region));
            case Node.KindOneofCase.If:
                return new IfStatement(id, needs, [.. node.If.Branches.Select(b => (b.Condition is null ? null : Operand.Of(b.Condition), b.Region))]);
            case Node.KindOneofCase.ForEach:
                return new ForEachStatement(id, needs, Operand.Of(node.ForEach.Items), node.ForEach.Region, VariableOf(program, node.ForEach.Region));
            case Node.KindOneofCase.While:
                return new WhileStatement(id, node.While.ConditionRegion, Operand.Of(node.While.Condition), node.While.Region, node.While.Limit);
            case Node.KindOneofCase.Break:
                return new BreakStatement(id);
            case Node.KindOneofCase.Cache:
                int[] cached = node.Cache.Modules.Count > 0 ? [.. node.Cache.Modules.Select(model.IndexOf)] : [.. Enumerable.Range(0, model.Paths.Count).Where(m => !GeneratorSites.Contains(model.Paths[m]))];
                foreach (int module in cached)
                {
                    if (node.Cache.Outputs) hookPoints.Add(new HookPoint(module, IsAfter: true));
                    if (node.Cache.Inputs) hookPoints.Add(new HookPoint(module, IsAfter: false));
                }
                return new CacheStatement(id, cached, node.Cache.Outputs, node.Cache.Inputs,
                    node.Cache.Dtype is DataType.Unspecified ? null : ((DType)node.Cache.Dtype).ToTorch(), node.Cache.Name);
            case Node.KindOneofCase.Backward: // it cannot stop and wait for another invoke: all that its block needs is there when it begins
                return new BackwardStatement(id, [.. needs.Concat(program.RegionDependencies(node.Backward.Region)).Distinct()], Operand.Of(node.Backward.Loss),
                    node.Backward.Gradient is { } gradient ? Operand.Of(gradient) : null, node.Backward.Region, autograd.AccessedInBackward[id]);
            case Node.KindOneofCase.ReadGradient:
                return new ReadGradientStatement(id, needs, node.ReadGradient.Node);
            case Node.KindOneofCase.WriteGradient:
                return new WriteGradientStatement(id, needs, node.WriteGradient.Node, Operand.Of(node.WriteGradient.Value));
            case Node.KindOneofCase.NewParameter:
                return new NewParameterStatement(id, needs, Operand.Of(node.NewParameter.Initial));
            case Node.KindOneofCase.NewOptimizer:
                return new NewOptimizerStatement(id, needs, node.NewOptimizer);
            case Node.KindOneofCase.OptimizerStep:
                return new OptimizerStepStatement(id, needs, node.OptimizerStep.Optimizer, node.OptimizerStep.Zero);
            case Node.KindOneofCase.Local:
                return new LocalCallStatement(id, needs, node.Local.Callback, [.. node.Local.Values.Select(Operand.Of)], TimeSpan.FromSeconds(node.Local.TimeoutSeconds));
            case Node.KindOneofCase.Put:
                return new PutStatement(id, needs, node.Put.Container, node.Put.Key, Operand.Of(node.Put.Value));
            case Node.KindOneofCase.SetVariable:
                return new SetVariableStatement(id, needs, node.SetVariable.Node, Operand.Of(node.SetVariable.Value));
            case Node.KindOneofCase.Trace when node.Trace.Mode is Mode.Scan != model.IsOnMetaDevice:
                throw Errors.CreateException(ErrorCode.Unsupported, "A scan runs in its user's process, and not beside traces that compute.",
                    "Drop remote: true, and give scans a session of their own.");
            case Node.KindOneofCase.Trace:
                return new TraceStatement(id, needs, node.Trace, [.. node.Trace.Invokes.Select(CompileInput)]);
            default:
                throw Unsupported($"`{node.KindCase}`");
        }

        HookPoint At(Site site)
        {
            bool after = site.Kind is SiteKind.Output or SiteKind.Hidden;
            var point = definedModules.ContainsKey(site.Module) ? new HookPoint(HookPoint.ProgramModule, after, DefinedPath: site.Module)
                : new HookPoint(model.IndexOf(site.Module), after, Operation(site.Module, site.Operation));
            hookPoints.Add(point);
            return point;
        }

        int Operation(string module, string operation) => operation.Length == 0 ? HookPoint.WholeModule
            : model.OperationIndexOf(model.IndexOf(module), model.Description.FindOperation(model.Description.Root.Find(module)!, module, operation).Path);
    }

    private static uint? VariableOf(Program program, uint region) =>
        program.Regions[(int)region].Parameters is [uint variable, ..] ? variable : null;

    private static int? CallIndexOf(CallIndex call) => call.WhichCase is CallIndex.WhichOneofCase.At ? ToInt32(call.At) : null;

    private static int ToInt32(uint number) => (int)Math.Min(number, int.MaxValue);

    private static InvokeInput CompileInput(Protocol.Invoke invoke) => new(invoke.Input, invoke.Region, invoke.HasBeside ? (int)invoke.Beside : null,
        invoke.Input?.Ids is { } ids ? Operand.Of(ids) : null,
        invoke.Input?.AttentionMask is { } mask ? Operand.Of(mask) : null,
        [.. invoke.Input?.Arguments.Select(Operand.Of) ?? []]);

    private static Exception Unsupported(string what) => Errors.CreateException(ErrorCode.Unsupported, $"{what} is not supported by this version of the engine.");
}
