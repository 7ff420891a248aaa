using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Recording;

internal sealed partial class ProgramReplay
{
    /// <summary>
    /// Copies nodes into a recording. A visit changes the copy that it is given: references to nodes, regions, constants and lines of the
    /// source become those of the recording.
    /// </summary>
    private sealed class RegionReplay(ProgramReplay source, Recorder recorder, Attachments? attachments) : NodeVisitor<Node, Node>
    {
        private readonly Dictionary<uint, uint> _nodes = [], _barriers = [];

        /// <param name="input">The value of the region's parameter; null makes the parameter one of the open region.</param>
        public void ReplayNodes(uint region, Value? input = null)
        {
            Region from = source._program.Regions[(int)region];
            foreach (uint parameter in from.Parameters)
                _nodes[parameter] = (input ?? recorder.RegionParameter(source._program.Nodes[(int)parameter].RegionParameter.Name)).Node;
            foreach (uint node in from.Nodes) _nodes[node] = Add(source._program.Nodes[(int)node].Clone());
        }

        /// <summary>
        /// Records the nodes of an adapter's region with values in place of its sites. Returns the output that it writes.
        /// </summary>
        public Value ReplayAdapter(uint region, Value input, Value output)
        {
            foreach (uint node in source._program.Regions[(int)region].Nodes)
            {
                Node original = source._program.Nodes[(int)node];
                if (original.Write is { } write) return RemapValue(write.Value);
                _nodes[node] = original.Read is { } read ? (read.Site.Kind is SiteKind.Output ? output : input).Node
                    : Add(original.Clone());
            }
            throw Errors.CreateException(ErrorCode.CorruptData, "An adapter of the edits changes nothing.");
        }

        /// <summary>An argument of the source as a value of the recording.</summary>
        public Value RemapValue(Argument argument)
        {
            Argument copy = argument.Clone();
            RemapArgument(copy);
            return copy.ValueCase switch
            {
                Argument.ValueOneofCase.Node => new Value(recorder, copy.Node),
                Argument.ValueOneofCase.Constant => source._constants[argument.Constant],
                Argument.ValueOneofCase.Integer => copy.Integer,
                Argument.ValueOneofCase.Real => copy.Real,
                Argument.ValueOneofCase.Boolean => copy.Boolean,
                _ => throw Errors.CreateException(ErrorCode.CorruptData, "A module of the edits returns something that is not a value."),
            };
        }

        private uint Add(Node copy)
        {
            // A call of a layer inside a module becomes part of the module's own recording.
            if (attachments is null && copy.CallModule is { } call && source._modules.TryGetValue(call.Module, out DefineModule? layer))
                return source.GetLayer(layer).Call(RemapValue(call.Arguments[0])).Node;
            if (copy.Line > 0 && source._program.Lines[(int)copy.Line - 1] is var line)
                copy.Line = recorder.RecordLine(new UserLine(line.File, (int)line.Line, line.Member));
            Visit(copy, copy);
            foreach (Argument argument in copy.Arguments().Concat(copy.LateArguments())) RemapArgument(argument);
            return recorder.Add(copy);
        }

        protected override Node VisitRead(ReadSite read, Node copy) => WithModule(copy, read.Site.Module);

        protected override Node VisitWrite(WriteSite write, Node copy) => WithModule(copy, write.Site.Module);

        protected override Node VisitSkip(SkipModule skip, Node copy) => WithModule(copy, skip.Module);

        protected override Node VisitCallModule(CallModule call, Node copy)
        {
            foreach (CallAdapter adapter in call.Adapters) adapter.Forward = ReplayRegion(adapter.Forward);
            return WithModule(copy, call.Module);
        }

        protected override Node VisitIf(If statement, Node copy)
        {
            foreach (Branch branch in statement.Branches) branch.Region = ReplayRegion(branch.Region);
            return copy;
        }

        protected override Node VisitForEach(ForEach loop, Node copy)
        {
            loop.Region = ReplayRegion(loop.Region);
            return copy;
        }

        protected override Node VisitWhile(While loop, Node copy)
        {
            (loop.ConditionRegion, loop.Region) = (ReplayRegion(loop.ConditionRegion), ReplayRegion(loop.Region));
            return copy;
        }

        protected override Node VisitSteps(StepLoop loop, Node copy)
        {
            if (loop.Each is not null) loop.Region = ReplayRegion(loop.Region);
            else foreach (Step step in loop.Unrolled) step.Region = ReplayRegion(step.Region);
            return copy;
        }

        protected override Node VisitBackward(Backward backward, Node copy)
        {
            backward.Region = ReplayRegion(backward.Region);
            return copy;
        }

        protected override Node VisitDefineModule(DefineModule module, Node copy)
        {
            module.Forward = ReplayRegion(module.Forward);
            return copy;
        }

        protected override Node VisitAppend(Append append, Node copy)
        {
            append.Container = _nodes[append.Container];
            return copy;
        }

        protected override Node VisitPut(PutEntry put, Node copy)
        {
            put.Container = _nodes[put.Container];
            return copy;
        }

        protected override Node VisitSetVariable(SetVariable set, Node copy)
        {
            set.Node = _nodes[set.Node];
            return copy;
        }

        protected override Node VisitReadGradient(ReadGradient read, Node copy)
        {
            read.Node = _nodes[read.Node];
            return copy;
        }

        protected override Node VisitWriteGradient(WriteGradient write, Node copy)
        {
            write.Node = _nodes[write.Node];
            return copy;
        }

        protected override Node VisitNewOptimizer(NewOptimizer optimizer, Node copy)
        {
            for (int i = 0; i < optimizer.Parameters.Count; i++) optimizer.Parameters[i] = _nodes[optimizer.Parameters[i]];
            return copy;
        }

        protected override Node VisitOptimizerStep(OptimizerStep step, Node copy)
        {
            step.Optimizer = _nodes[step.Optimizer];
            return copy;
        }

        protected override Node VisitBarrier(Protocol.Messages.Barrier barrier, Node copy)
        {
            if (!_barriers.TryGetValue(barrier.Id, out uint id)) _barriers[barrier.Id] = id = recorder.NextBarrier();
            barrier.Id = id;
            return copy;
        }

        // These kinds refer to other nodes by their arguments only, which are remapped for every kind.
        protected override Node VisitNone(Node copy) => copy;

        protected override Node VisitCall(Call call, Node copy) => copy;

        protected override Node VisitStartAt(StartAt start, Node copy) => copy;

        protected override Node VisitParameter(ReadParameter parameter, Node copy) => copy;

        protected override Node VisitResult(ReadResult result, Node copy) => copy;

        protected override Node VisitSave(Save save, Node copy) => copy;

        protected override Node VisitRegionParameter(RegionParameter parameter, Node copy) => copy;

        protected override Node VisitContainer(MakeContainer container, Node copy) => copy;

        protected override Node VisitBreak(Break statement, Node copy) => copy;

        protected override Node VisitStop(Stop stop, Node copy) => copy;

        protected override Node VisitCache(Cache cache, Node copy) => copy;

        protected override Node VisitLog(Log log, Node copy) => copy;

        protected override Node VisitLocal(LocalCall call, Node copy) => copy;

        protected override Node VisitNewParameter(NewParameter parameter, Node copy) => copy;

        /// <summary>Regions of edits are inside a trace, and traces are not nested.</summary>
        protected override Node VisitTrace(Protocol.Messages.Trace trace, Node copy) => copy;

        private Node WithModule(Node copy, string module)
        {
            attachments?.EnsureDefined(recorder, module);
            return copy;
        }

        private uint ReplayRegion(uint region) => recorder.RecordRegion(() => ReplayNodes(region));

        private void RemapArgument(Argument argument)
        {
            switch (argument.ValueCase)
            {
                // The argument may stand for a field that the visit has remapped already: then it is a node of the recording.
                case Argument.ValueOneofCase.Node: argument.Node = _nodes.GetValueOrDefault(argument.Node, argument.Node); break;
                case Argument.ValueOneofCase.Constant:
                    argument.Constant = recorder.Argument(source._constants[argument.Constant]).Constant;
                    break;
                case Argument.ValueOneofCase.List: foreach (Argument item in argument.List.Items) RemapArgument(item); break;
                case Argument.ValueOneofCase.Tuple: foreach (Argument item in argument.Tuple.Items) RemapArgument(item); break;
                case Argument.ValueOneofCase.Map: foreach (ArgumentEntry entry in argument.Map.Entries) RemapArgument(entry.Value); break;
                case Argument.ValueOneofCase.Slice:
                    foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                        if (part is not null) RemapArgument(part);
                    break;
            }
        }
    }
}
