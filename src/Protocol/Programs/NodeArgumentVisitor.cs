namespace Ndif.Protocol.Programs;

/// <summary>The arguments that each kind of node evaluates before it runs. A node that is referred to by its id counts as one.</summary>
internal sealed class NodeArgumentVisitor : NodeVisitor<ValueTuple, IEnumerable<Argument>>
{
    public static NodeArgumentVisitor Instance { get; } = new();

    protected override IEnumerable<Argument> VisitNone(ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitCall(Call call, ValueTuple context) => call.Arguments.Concat(call.Keywords.Values);

    protected override IEnumerable<Argument> VisitRead(ReadSite read, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitWrite(WriteSite write, ValueTuple context) => [write.Value];

    protected override IEnumerable<Argument> VisitSkip(SkipModule skip, ValueTuple context) => [skip.Value];

    protected override IEnumerable<Argument> VisitCallModule(CallModule call, ValueTuple context) =>
        call.Arguments.Concat(call.Keywords.Values);

    protected override IEnumerable<Argument> VisitParameter(ReadParameter parameter, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitSave(Save save, ValueTuple context) => [save.Value];

    protected override IEnumerable<Argument> VisitRegionParameter(RegionParameter parameter, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitContainer(MakeContainer container, ValueTuple context) =>
        container.Items.Concat(container.Entries.Select(e => e.Value));

    protected override IEnumerable<Argument> VisitAppend(Append append, ValueTuple context) => [ToNode(append.Container), append.Value];

    protected override IEnumerable<Argument> VisitPut(PutEntry put, ValueTuple context) => [ToNode(put.Container), put.Value];

    protected override IEnumerable<Argument> VisitIf(If statement, ValueTuple context) =>
        statement.Branches.Where(b => b.Condition is not null).Select(b => b.Condition);

    protected override IEnumerable<Argument> VisitForEach(ForEach loop, ValueTuple context) => [loop.Items];

    protected override IEnumerable<Argument> VisitWhile(While loop, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitSteps(StepLoop loop, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitBreak(Break statement, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitTrace(Messages.Trace trace, ValueTuple context) =>
        trace.Invokes.SelectMany(i => InputArguments(i.Input));

    protected override IEnumerable<Argument> VisitBackward(Backward backward, ValueTuple context) =>
        backward.Gradient is { } gradient ? [backward.Loss, gradient] : [backward.Loss];

    protected override IEnumerable<Argument> VisitReadGradient(ReadGradient read, ValueTuple context) => [ToNode(read.Node)];

    protected override IEnumerable<Argument> VisitWriteGradient(WriteGradient write, ValueTuple context) =>
        [ToNode(write.Node), write.Value];

    protected override IEnumerable<Argument> VisitStop(Stop stop, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitBarrier(Messages.Barrier barrier, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitCache(Cache cache, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitLog(Log log, ValueTuple context) => log.Values;

    protected override IEnumerable<Argument> VisitLocal(LocalCall call, ValueTuple context) => call.Values;

    protected override IEnumerable<Argument> VisitNewParameter(NewParameter parameter, ValueTuple context) => [parameter.Initial];

    protected override IEnumerable<Argument> VisitNewOptimizer(NewOptimizer optimizer, ValueTuple context) =>
        optimizer.Parameters.Select(ToNode);

    protected override IEnumerable<Argument> VisitOptimizerStep(OptimizerStep step, ValueTuple context) => [ToNode(step.Optimizer)];

    protected override IEnumerable<Argument> VisitDefineModule(DefineModule module, ValueTuple context) =>
        module.Layers.SelectMany(l => l.Weights.Values);

    protected override IEnumerable<Argument> VisitStartAt(StartAt start, ValueTuple context) => [start.Value];

    protected override IEnumerable<Argument> VisitResult(ReadResult result, ValueTuple context) => [];

    protected override IEnumerable<Argument> VisitSetVariable(SetVariable set, ValueTuple context) => [ToNode(set.Node), set.Value];

    private static Argument ToNode(uint id) => new() { Node = id };

    private static IEnumerable<Argument> InputArguments(Input? input)
    {
        if (input is null) yield break;
        if (input.Ids is not null) yield return input.Ids;
        if (input.AttentionMask is not null) yield return input.AttentionMask;
        if (input.TokenTypeIds is not null) yield return input.TokenTypeIds;
        if (input.DecoderIds is not null) yield return input.DecoderIds;
        foreach (Argument argument in input.Arguments.Concat(input.Keywords.Values)) yield return argument;
    }
}
