namespace Ndif.Protocol.Programs;

/// <summary>
/// Dispatches on the kind of a node. There is one abstract method for each member of the oneof <c>Node.kind</c> in program.proto, so a
/// visitor that does not handle a kind does not compile.
/// </summary>
/// <typeparam name="TContext">An argument that each visit receives with the node.</typeparam>
/// <typeparam name="TResult">What each visit returns.</typeparam>
public abstract class NodeVisitor<TContext, TResult>
{
    // The switch has no default arm: a kind that is added to program.proto and not handled here is the error CS8509.
    // CS8524 concerns numbers without a name, which the generated parser never assigns.
#pragma warning disable CS8524
    /// <summary>Calls the method of the node's kind.</summary>
    public TResult Visit(Node node, TContext context) => node.KindCase switch
    {
        Node.KindOneofCase.None => VisitNone(context),
        Node.KindOneofCase.Call => VisitCall(node.Call, context),
        Node.KindOneofCase.Read => VisitRead(node.Read, context),
        Node.KindOneofCase.Write => VisitWrite(node.Write, context),
        Node.KindOneofCase.Skip => VisitSkip(node.Skip, context),
        Node.KindOneofCase.CallModule => VisitCallModule(node.CallModule, context),
        Node.KindOneofCase.Parameter => VisitParameter(node.Parameter, context),
        Node.KindOneofCase.Save => VisitSave(node.Save, context),
        Node.KindOneofCase.RegionParameter => VisitRegionParameter(node.RegionParameter, context),
        Node.KindOneofCase.Container => VisitContainer(node.Container, context),
        Node.KindOneofCase.Append => VisitAppend(node.Append, context),
        Node.KindOneofCase.Put => VisitPut(node.Put, context),
        Node.KindOneofCase.If => VisitIf(node.If, context),
        Node.KindOneofCase.ForEach => VisitForEach(node.ForEach, context),
        Node.KindOneofCase.While => VisitWhile(node.While, context),
        Node.KindOneofCase.Steps => VisitSteps(node.Steps, context),
        Node.KindOneofCase.Break => VisitBreak(node.Break, context),
        Node.KindOneofCase.Trace => VisitTrace(node.Trace, context),
        Node.KindOneofCase.Backward => VisitBackward(node.Backward, context),
        Node.KindOneofCase.ReadGradient => VisitReadGradient(node.ReadGradient, context),
        Node.KindOneofCase.WriteGradient => VisitWriteGradient(node.WriteGradient, context),
        Node.KindOneofCase.Stop => VisitStop(node.Stop, context),
        Node.KindOneofCase.Barrier => VisitBarrier(node.Barrier, context),
        Node.KindOneofCase.Cache => VisitCache(node.Cache, context),
        Node.KindOneofCase.Log => VisitLog(node.Log, context),
        Node.KindOneofCase.Local => VisitLocal(node.Local, context),
        Node.KindOneofCase.NewParameter => VisitNewParameter(node.NewParameter, context),
        Node.KindOneofCase.NewOptimizer => VisitNewOptimizer(node.NewOptimizer, context),
        Node.KindOneofCase.OptimizerStep => VisitOptimizerStep(node.OptimizerStep, context),
        Node.KindOneofCase.DefineModule => VisitDefineModule(node.DefineModule, context),
        Node.KindOneofCase.StartAt => VisitStartAt(node.StartAt, context),
        Node.KindOneofCase.Result => VisitResult(node.Result, context),
        Node.KindOneofCase.SetVariable => VisitSetVariable(node.SetVariable, context),
    };
#pragma warning restore CS8524

    /// <summary>A node without a kind: a damaged program, or a kind of a newer version.</summary>
    protected abstract TResult VisitNone(TContext context);

#pragma warning disable CS1591 // one method for each kind of node: name and parameter say which
    protected abstract TResult VisitCall(Call call, TContext context);

    protected abstract TResult VisitRead(ReadSite read, TContext context);

    protected abstract TResult VisitWrite(WriteSite write, TContext context);

    protected abstract TResult VisitSkip(SkipModule skip, TContext context);

    protected abstract TResult VisitCallModule(CallModule call, TContext context);

    protected abstract TResult VisitParameter(ReadParameter parameter, TContext context);

    protected abstract TResult VisitSave(Save save, TContext context);

    protected abstract TResult VisitRegionParameter(RegionParameter parameter, TContext context);

    protected abstract TResult VisitContainer(MakeContainer container, TContext context);

    protected abstract TResult VisitAppend(Append append, TContext context);

    protected abstract TResult VisitPut(PutEntry put, TContext context);

    protected abstract TResult VisitIf(If statement, TContext context);

    protected abstract TResult VisitForEach(ForEach loop, TContext context);

    protected abstract TResult VisitWhile(While loop, TContext context);

    protected abstract TResult VisitSteps(StepLoop loop, TContext context);

    protected abstract TResult VisitBreak(Break statement, TContext context);

    protected abstract TResult VisitTrace(Messages.Trace trace, TContext context);

    protected abstract TResult VisitBackward(Backward backward, TContext context);

    protected abstract TResult VisitReadGradient(ReadGradient read, TContext context);

    protected abstract TResult VisitWriteGradient(WriteGradient write, TContext context);

    protected abstract TResult VisitStop(Stop stop, TContext context);

    protected abstract TResult VisitBarrier(Messages.Barrier barrier, TContext context);

    protected abstract TResult VisitCache(Cache cache, TContext context);

    protected abstract TResult VisitLog(Log log, TContext context);

    protected abstract TResult VisitLocal(LocalCall call, TContext context);

    protected abstract TResult VisitNewParameter(NewParameter parameter, TContext context);

    protected abstract TResult VisitNewOptimizer(NewOptimizer optimizer, TContext context);

    protected abstract TResult VisitOptimizerStep(OptimizerStep step, TContext context);

    protected abstract TResult VisitDefineModule(DefineModule module, TContext context);

    protected abstract TResult VisitStartAt(StartAt start, TContext context);

    protected abstract TResult VisitResult(ReadResult result, TContext context);

    protected abstract TResult VisitSetVariable(SetVariable set, TContext context);
#pragma warning restore CS1591
}
