using Ndif.Engine.Gradients;
using Ndif.Engine.Kernels;
using Ndif.Engine.Subjects;
using Ndif.Protocol;

namespace Ndif.Engine.Compiling;

/// <summary>From a validated program to a <see cref="Plan"/> for one model.</summary>
public static class Compiler
{
    /// <summary>Validates and compiles.</summary>
    /// <exception cref="NdifException">The program is not valid for this model, or uses what this version does not have.</exception>
    public static Plan Compile(Program program, SubjectModel subject, ProgramLimits? limits = null)
    {
        if (ProgramValidator.Validate(program, subject.Description, limits ?? ProgramValidator.LocalLimits) is { } error)
            throw Errors.ToException(error);
        var statements = new Statement?[program.Nodes.Count];
        HashSet<Point> points = [];
        GraphNeeds graph = GraphNeeds.Of(program);
        Dictionary<string, DefineModule> defined = program.Nodes.Where(n => n.KindCase is Node.KindOneofCase.DefineModule)
            .ToDictionary(n => n.DefineModule.Path, n => n.DefineModule);
        for (uint id = 0; id < statements.Length; id++)
        {
            try
            {
                statements[id] = Of(id, program, subject, points, graph, defined);
            }
            catch (Exception e) when (e is NdifException or { InnerException: NdifException } && !Errors.Of(e).HasNode)
            {
                Error placed = Errors.Of(e).Clone();
                placed.Node = id;
                if (program.Nodes[(int)id].Line is > 0 and var line) placed.Line = program.Lines[(int)line - 1];
                throw Errors.ToException(placed, e);
            }
        }
        uint[][] regions = [.. program.Regions.Select(r => r.Nodes.ToArray())];
        Lifetimes lifetimes = Lifetimes.Of(program);
        foreach (Statement statement in statements.OfType<Statement>()) statement.Frees = lifetimes.Frees(statement.Id);
        return new Plan(program, subject, statements, regions, points, lifetimes.Owners, graph);
    }

    private static Statement? Of(uint id, Program program, SubjectModel subject, HashSet<Point> points, GraphNeeds graph,
        Dictionary<string, DefineModule> defined)
    {
        Node node = program.Nodes[(int)id];
        uint[] needs = [.. node.Needs().Distinct()];
        switch (node.KindCase)
        {
            case Node.KindOneofCase.RegionParameter:
                return null;
            case Node.KindOneofCase.Read when node.Read.Site.Module == GeneratorSites.Generator && subject is LanguageSubject:
                return new ResultStatement(id); // another name of it
            case Node.KindOneofCase.Read:
                return new ReadStatement(id, At(node.Read.Site), node.Read.Site.Kind, Call(node.Read.Call), graph.Followed.Contains(id));
            case Node.KindOneofCase.Write:
                return new WriteStatement(id, needs, At(node.Write.Site), node.Write.Site.Kind, Call(node.Write.Call), Operand.Of(node.Write.Value));
            case Node.KindOneofCase.Skip:
                var skipped = new Point(subject.IndexOf(node.Skip.Module), After: false, Operation(node.Skip.Module, node.Skip.Operation));
                points.Add(skipped);
                return new SkipStatement(id, needs, skipped, Call(node.Skip.Call), Operand.Of(node.Skip.Value));
            case Node.KindOneofCase.StartAt:
                int start = subject.IndexOf(node.StartAt.Module), embed = subject.IndexOf(subject.Description.Names.Embed);
                int[] before = [.. StartPoints.Before(subject.Description, node.StartAt.Module).Select(subject.IndexOf)];
                foreach (int module in (int[])[embed, .. before, start]) points.Add(new Point(module, After: false));
                return new StartAtStatement(id, needs, start, before, embed, Operand.Of(node.StartAt.Value));
            case Node.KindOneofCase.Call:
                return new CallStatement(id, needs, OpTable.Rows[node.Call.Op], [.. ArgumentBinder.Bind(node.Call).Select(Operand.Of)]);
            case Node.KindOneofCase.DefineModule:
                return new DefineModuleStatement(id, node.DefineModule.Path, [.. program.NeedsWithin(node.DefineModule.Forward)]);
            case Node.KindOneofCase.CallModule when defined.TryGetValue(node.CallModule.Module, out DefineModule? called):
                return new CallDefinedStatement(id, needs, called.Path, called.Forward, program.Regions[(int)called.Forward].Parameters[0],
                    Operand.Of(node.CallModule.Arguments[0]), Operand.Of(called.Result));
            case Node.KindOneofCase.CallModule:
                return new CallModuleStatement(id, needs, subject.IndexOf(node.CallModule.Module),
                    [.. node.CallModule.Arguments.Select(Operand.Of)], [.. node.CallModule.Keywords.Select(k => KeyValuePair.Create(k.Key, Operand.Of(k.Value)))]);
            case Node.KindOneofCase.Parameter:
                return new ParameterStatement(id, subject.IndexOf(node.Parameter.Module), node.Parameter.Name);
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
                return new StepsStatement(id, [.. node.Steps.Unrolled.Select(s => Int(s.Index))], [.. node.Steps.Unrolled.Select(s => s.Region)]);
            case Node.KindOneofCase.Steps:
                return new EachStepStatement(id, Int(node.Steps.Each.Start), node.Steps.Each.HasStop ? Int(node.Steps.Each.Stop) : null,
                    Math.Max(1, Int(node.Steps.Each.Stride)), node.Steps.Region, Variable(program, node.Steps.Region));
            case Node.KindOneofCase.If:
                return new IfStatement(id, needs, [.. node.If.Branches.Select(b => (b.Condition is null ? null : Operand.Of(b.Condition), b.Region))]);
            case Node.KindOneofCase.ForEach:
                return new ForEachStatement(id, needs, Operand.Of(node.ForEach.Items), node.ForEach.Region, Variable(program, node.ForEach.Region));
            case Node.KindOneofCase.While:
                return new WhileStatement(id, node.While.ConditionRegion, Operand.Of(node.While.Condition), node.While.Region, node.While.Limit);
            case Node.KindOneofCase.Break:
                return new BreakStatement(id);
            case Node.KindOneofCase.Cache:
                int[] cached = node.Cache.Modules.Count > 0 ? [.. node.Cache.Modules.Select(subject.IndexOf)] : [.. Enumerable.Range(0, subject.Paths.Count).Where(m => !GeneratorSites.Include(subject.Paths[m]))];
                foreach (int module in cached)
                {
                    if (node.Cache.Outputs) points.Add(new Point(module, After: true));
                    if (node.Cache.Inputs) points.Add(new Point(module, After: false));
                }
                return new CacheStatement(id, cached, node.Cache.Outputs, node.Cache.Inputs,
                    node.Cache.Dtype is DataType.Unspecified ? null : ((DType)node.Cache.Dtype).ToTorch(), node.Cache.Name);
            case Node.KindOneofCase.Backward: // it cannot stop and wait for another invoke: all that its block needs is there when it begins
                return new BackwardStatement(id, [.. needs.Concat(program.NeedsWithin(node.Backward.Region)).Distinct()], Operand.Of(node.Backward.Loss),
                    node.Backward.Gradient is { } gradient ? Operand.Of(gradient) : null, node.Backward.Region, graph.InBlock[id]);
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
            case Node.KindOneofCase.Trace when node.Trace.Mode is Mode.Scan != subject.HasOnlyShapes:
                throw Errors.Throwable(ErrorCode.Unsupported, "A scan runs in its user's process, and not beside traces that compute.",
                    "Drop remote: true, and give scans a session of their own.");
            case Node.KindOneofCase.Trace:
                return new TraceStatement(id, needs, node.Trace, [.. node.Trace.Invokes.Select(Input)]);
            default:
                throw Unsupported($"`{node.KindCase}`");
        }

        Point At(Site site)
        {
            bool after = site.Kind is SiteKind.Output or SiteKind.Hidden;
            var point = defined.ContainsKey(site.Module) ? new Point(Point.OfTheUser, after, Defined: site.Module)
                : new Point(subject.IndexOf(site.Module), after, Operation(site.Module, site.Operation));
            points.Add(point);
            return point;
        }

        int Operation(string module, string operation) => operation.Length == 0 ? Point.Whole
            : subject.OperationAt(subject.IndexOf(module), subject.Description.Operation(subject.Description.Root.Find(module)!, module, operation).Path);
    }

    private static uint? Variable(Program program, uint region) =>
        program.Regions[(int)region].Parameters is [uint variable, ..] ? variable : null;

    private static int? Call(CallIndex call) => call.WhichCase is CallIndex.WhichOneofCase.At ? Int(call.At) : null;

    private static int Int(uint number) => (int)Math.Min(number, int.MaxValue);

    private static InvokeInput Input(Protocol.Invoke invoke) => new(invoke.Input, invoke.Region, invoke.HasBeside ? (int)invoke.Beside : null,
        invoke.Input?.Ids is { } ids ? Operand.Of(ids) : null,
        invoke.Input?.AttentionMask is { } mask ? Operand.Of(mask) : null,
        [.. invoke.Input?.Arguments.Select(Operand.Of) ?? []]);

    private static Exception Unsupported(string what) => Errors.Throwable(ErrorCode.Unsupported, $"{what} is not supported by this version of the engine.");
}
