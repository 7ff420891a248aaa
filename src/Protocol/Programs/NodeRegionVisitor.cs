namespace Ndif.Protocol.Programs;

/// <summary>The regions of a node.</summary>
/// <param name="Regions">The regions that it runs, in order.</param>
/// <param name="LateArguments">The arguments that it evaluates in or after them.</param>
internal readonly record struct NodeRegions(IEnumerable<uint> Regions, IEnumerable<Argument> LateArguments)
{
    public static NodeRegions None { get; } = new([], []);
}

/// <summary>The regions that each kind of node runs.</summary>
internal sealed class NodeRegionVisitor : NodeVisitor<ValueTuple, NodeRegions>
{
    public static NodeRegionVisitor Instance { get; } = new();

    protected override NodeRegions VisitNone(ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitCall(Call call, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitRead(ReadSite read, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitWrite(WriteSite write, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitSkip(SkipModule skip, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitCallModule(CallModule call, ValueTuple context) =>
        new(call.Adapters.Select(a => a.Forward), call.Adapters.Where(a => a.Result is not null).Select(a => a.Result));

    protected override NodeRegions VisitParameter(ReadParameter parameter, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitSave(Save save, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitRegionParameter(RegionParameter parameter, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitContainer(MakeContainer container, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitAppend(Append append, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitPut(PutEntry put, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitIf(If statement, ValueTuple context) => new(statement.Branches.Select(b => b.Region), []);

    protected override NodeRegions VisitForEach(ForEach loop, ValueTuple context) => new([loop.Region], []);

    protected override NodeRegions VisitWhile(While loop, ValueTuple context) =>
        new([loop.ConditionRegion, loop.Region], loop.Condition is { } condition ? [condition] : []);

    protected override NodeRegions VisitSteps(StepLoop loop, ValueTuple context) =>
        new(loop.Each is null ? loop.Unrolled.Select(s => s.Region) : [loop.Region], []);

    protected override NodeRegions VisitBreak(Break statement, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitTrace(Messages.Trace trace, ValueTuple context) =>
        new(trace.Invokes.Select(i => i.Region).Append(trace.Region), []);

    protected override NodeRegions VisitBackward(Backward backward, ValueTuple context) => new([backward.Region], []);

    protected override NodeRegions VisitReadGradient(ReadGradient read, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitWriteGradient(WriteGradient write, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitStop(Stop stop, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitBarrier(Messages.Barrier barrier, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitCache(Cache cache, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitLog(Log log, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitLocal(LocalCall call, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitNewParameter(NewParameter parameter, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitNewOptimizer(NewOptimizer optimizer, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitOptimizerStep(OptimizerStep step, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitDefineModule(DefineModule module, ValueTuple context) =>
        new([module.Forward], module.Result is { } result ? [result] : []);

    protected override NodeRegions VisitStartAt(StartAt start, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitResult(ReadResult result, ValueTuple context) => NodeRegions.None;

    protected override NodeRegions VisitSetVariable(SetVariable set, ValueTuple context) => NodeRegions.None;
}
