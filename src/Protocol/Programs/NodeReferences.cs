namespace Ndif.Protocol.Programs;

/// <summary>What a node refers to: other nodes, constants and regions.</summary>
public static class NodeReferences
{
    /// <summary>The arguments that a node evaluates before it runs.</summary>
    public static IEnumerable<Argument> Arguments(this Node node) => ReferencesOf(node).Arguments;

    /// <summary>
    /// The arguments that a node evaluates in or after its regions: the condition of a while loop, the result of a module's forward.
    /// </summary>
    public static IEnumerable<Argument> LateArguments(this Node node) => ReferencesOf(node).LateArguments;

    /// <summary>The regions that a node runs, in order.</summary>
    public static IEnumerable<uint> Regions(this Node node) => ReferencesOf(node).Regions;

    /// <summary>The nodes that an argument refers to, including those in lists, maps and slices.</summary>
    public static IEnumerable<uint> ReferencedNodes(this Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.Node => [argument.Node],
        Argument.ValueOneofCase.List => argument.List.Items.SelectMany(ReferencedNodes),
        Argument.ValueOneofCase.Tuple => argument.Tuple.Items.SelectMany(ReferencedNodes),
        Argument.ValueOneofCase.Map => argument.Map.Entries.SelectMany(e => e.Value.ReferencedNodes()),
        Argument.ValueOneofCase.Slice => new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step }
            .Where(a => a is not null).SelectMany(ReferencedNodes),
        _ => [],
    };

    /// <summary>The nodes whose values a node needs before it can run.</summary>
    public static IEnumerable<uint> Dependencies(this Node node) => node.Arguments().SelectMany(ReferencedNodes);

    /// <summary>The nodes outside of a region that the nodes of the region need, including those of nested regions.</summary>
    public static IEnumerable<uint> RegionDependencies(this Program program, uint region)
    {
        HashSet<uint> within = [];
        List<uint> needs = [];
        Collect(region);
        return needs.Where(n => !within.Contains(n)).Distinct();

        void Collect(uint at)
        {
            within.UnionWith(program.Regions[(int)at].Parameters);
            foreach (uint id in program.Regions[(int)at].Nodes)
            {
                within.Add(id);
                needs.AddRange(program.Nodes[(int)id].Dependencies());
                foreach (uint inner in program.Nodes[(int)id].Regions()) Collect(inner);
            }
        }
    }

    private static References ReferencesOf(Node node) => ReferenceVisitor.Instance.Visit(node, default);

    private readonly record struct References(
        IEnumerable<Argument> Arguments, IEnumerable<uint> Regions, IEnumerable<Argument> LateArguments)
    {
        public static References None { get; } = new([], [], []);

        public static References To(IEnumerable<Argument> arguments) => new(arguments, [], []);

        public static References ToRegions(IEnumerable<uint> regions) => new([], regions, []);
    }

    private sealed class ReferenceVisitor : NodeVisitor<ValueTuple, References>
    {
        public static ReferenceVisitor Instance { get; } = new();

        protected override References VisitNone(ValueTuple context) => References.None;

        protected override References VisitCall(Call call, ValueTuple context) =>
            References.To(call.Arguments.Concat(call.Keywords.Values));

        protected override References VisitRead(ReadSite read, ValueTuple context) => References.None;

        protected override References VisitWrite(WriteSite write, ValueTuple context) => References.To([write.Value]);

        protected override References VisitSkip(SkipModule skip, ValueTuple context) => References.To([skip.Value]);

        protected override References VisitCallModule(CallModule call, ValueTuple context) =>
            References.To(call.Arguments.Concat(call.Keywords.Values));

        protected override References VisitParameter(ReadParameter parameter, ValueTuple context) => References.None;

        protected override References VisitSave(Save save, ValueTuple context) => References.To([save.Value]);

        protected override References VisitRegionParameter(RegionParameter parameter, ValueTuple context) => References.None;

        protected override References VisitContainer(MakeContainer container, ValueTuple context) =>
            References.To(container.Items.Concat(container.Entries.Select(e => e.Value)));

        protected override References VisitAppend(Append append, ValueTuple context) =>
            References.To([ToNode(append.Container), append.Value]);

        protected override References VisitPut(PutEntry put, ValueTuple context) => References.To([ToNode(put.Container), put.Value]);

        protected override References VisitIf(If statement, ValueTuple context) => new(
            statement.Branches.Where(b => b.Condition is not null).Select(b => b.Condition), statement.Branches.Select(b => b.Region), []);

        protected override References VisitForEach(ForEach loop, ValueTuple context) => new([loop.Items], [loop.Region], []);

        protected override References VisitWhile(While loop, ValueTuple context) =>
            new([], [loop.ConditionRegion, loop.Region], loop.Condition is { } condition ? [condition] : []);

        protected override References VisitSteps(StepLoop loop, ValueTuple context) =>
            References.ToRegions(loop.Each is null ? loop.Unrolled.Select(s => s.Region) : [loop.Region]);

        protected override References VisitBreak(Break statement, ValueTuple context) => References.None;

        protected override References VisitTrace(Trace trace, ValueTuple context) => new(
            trace.Invokes.SelectMany(i => InputArguments(i.Input)), trace.Invokes.Select(i => i.Region).Append(trace.Region), []);

        protected override References VisitBackward(Backward backward, ValueTuple context) => new(
            backward.Gradient is { } gradient ? [backward.Loss, gradient] : [backward.Loss], [backward.Region], []);

        protected override References VisitReadGradient(ReadGradient read, ValueTuple context) => References.To([ToNode(read.Node)]);

        protected override References VisitWriteGradient(WriteGradient write, ValueTuple context) =>
            References.To([ToNode(write.Node), write.Value]);

        protected override References VisitStop(Stop stop, ValueTuple context) => References.None;

        protected override References VisitBarrier(Barrier barrier, ValueTuple context) => References.None;

        protected override References VisitCache(Cache cache, ValueTuple context) => References.None;

        protected override References VisitLog(Log log, ValueTuple context) => References.To(log.Values);

        protected override References VisitLocal(LocalCall call, ValueTuple context) => References.To(call.Values);

        protected override References VisitNewParameter(NewParameter parameter, ValueTuple context) => References.To([parameter.Initial]);

        protected override References VisitNewOptimizer(NewOptimizer optimizer, ValueTuple context) =>
            References.To(optimizer.Parameters.Select(ToNode));

        protected override References VisitOptimizerStep(OptimizerStep step, ValueTuple context) => References.To([ToNode(step.Optimizer)]);

        protected override References VisitDefineModule(DefineModule module, ValueTuple context) =>
            new(module.Layers.SelectMany(l => l.Weights.Values), [module.Forward], module.Result is { } result ? [result] : []);

        protected override References VisitStartAt(StartAt start, ValueTuple context) => References.To([start.Value]);

        protected override References VisitResult(ReadResult result, ValueTuple context) => References.None;

        protected override References VisitSetVariable(SetVariable set, ValueTuple context) =>
            References.To([ToNode(set.Node), set.Value]);

        private static Argument ToNode(uint id) => new() { Node = id };

        private static IEnumerable<Argument> InputArguments(Input? input)
        {
            if (input is null) yield break;
            if (input.Ids is not null) yield return input.Ids;
            if (input.AttentionMask is not null) yield return input.AttentionMask;
            foreach (Argument argument in input.Arguments.Concat(input.Keywords.Values)) yield return argument;
        }
    }
}
