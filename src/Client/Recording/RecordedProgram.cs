using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Recording;

/// <summary>A program whose regions are recorded again, into another one: what refers to nodes, regions, constants and lines is made to fit.</summary>
internal sealed class RecordedProgram
{
    private readonly Program _program;
    private readonly TensorData[] _constants; // made once, so that a recorder that meets one twice keeps it once
    private readonly Dictionary<string, DefineModule> _modules;
    private readonly Dictionary<string, Layer> _layers = [];

    public RecordedProgram(Program program)
    {
        _program = program;
        _constants = [.. program.Constants.Select(TensorData.FromProto)];
        _modules = program.Nodes.Where(n => n.KindCase is Node.KindOneofCase.DefineModule).ToDictionary(n => n.DefineModule.Path, n => n.DefineModule);
    }

    /// <summary>The modules that it defines and that stand in none of each other.</summary>
    public IEnumerable<DefineModule> Modules => _modules.Values.Where(m => !_modules.Keys.Any(path => m.Path.StartsWith($"{path}.", StringComparison.Ordinal)));

    /// <summary>Records what the region did into the region that is open.</summary>
    /// <param name="attachments">What knows the modules that it refers to.</param>
    public void Replay(uint region, Recorder recorder, Attachments attachments) => new RegionReplay(this, recorder, attachments).ReplayNodes(region);

    /// <summary>Records the forward of a module that the program defines.</summary>
    public Value Call(DefineModule module, Value input)
    {
        Recorder into = Recorder.Current(input, $"The module `{module.Path}`");
        var copy = new RegionReplay(this, into, null);
        copy.ReplayNodes(module.Forward, input);
        return copy.RemapValue(module.Result);
    }

    private Layer GetLayer(DefineModule module)
    {
        if (!_layers.TryGetValue(module.Path, out Layer? part)) _layers[module.Path] = part = new ImportedModule(this, module).AsSubmodule();
        return part;
    }

    private sealed class RegionReplay(RecordedProgram source, Recorder recorder, Attachments? attachments)
    {
        private readonly Dictionary<uint, uint> _nodes = [], _barriers = [];

        /// <param name="input">What the region's parameter is, if that is known.</param>
        public void ReplayNodes(uint region, Value? input = null)
        {
            Region from = source._program.Regions[(int)region];
            foreach (uint parameter in from.Parameters) _nodes[parameter] = (input ?? recorder.RegionParameter(source._program.Nodes[(int)parameter].RegionParameter.Name)).Node;
            foreach (uint node in from.Nodes) _nodes[node] = Add(source._program.Nodes[(int)node].Clone());
        }

        /// <summary>An argument of the program as a value of the recording.</summary>
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
                _ => throw Errors.CreateException(ErrorCode.CorruptData, "A module of the edits gives what is no value."),
            };
        }

        private uint Add(Node node)
        {
            if (attachments is null && node.CallModule is { } call && source._modules.TryGetValue(call.Module, out DefineModule? part))
                return source.GetLayer(part).Call(RemapValue(call.Arguments[0])).Node; // within a module: defined with it
            foreach (string path in ReferencedModules(node)) attachments?.EnsureDefined(recorder, path);
            return recorder.Add(RemapNode(node));
        }

        private static IEnumerable<string> ReferencedModules(Node node) =>
            new[] { node.Read?.Site.Module, node.Write?.Site.Module, node.CallModule?.Module, node.Skip?.Module }.OfType<string>();

        private Node RemapNode(Node node)
        {
            if (node.Line > 0 && source._program.Lines[(int)node.Line - 1] is var line) node.Line = recorder.RecordLine(new UserLine(line.File, (int)line.Line, line.Member));
            switch (node.KindCase)
            {
                case Node.KindOneofCase.If:
                    foreach (Branch branch in node.If.Branches) branch.Region = ReplayRegion(branch.Region);
                    break;
                case Node.KindOneofCase.ForEach: node.ForEach.Region = ReplayRegion(node.ForEach.Region); break;
                case Node.KindOneofCase.While:
                    (node.While.ConditionRegion, node.While.Region) = (ReplayRegion(node.While.ConditionRegion), ReplayRegion(node.While.Region));
                    if (node.While.Condition is { } condition) RemapArgument(condition);
                    break;
                case Node.KindOneofCase.Steps when node.Steps.Each is null:
                    foreach (Step step in node.Steps.Unrolled) step.Region = ReplayRegion(step.Region);
                    break;
                case Node.KindOneofCase.Steps: node.Steps.Region = ReplayRegion(node.Steps.Region); break;
                case Node.KindOneofCase.Backward: node.Backward.Region = ReplayRegion(node.Backward.Region); break;
                case Node.KindOneofCase.DefineModule: node.DefineModule.Forward = ReplayRegion(node.DefineModule.Forward); break;
                case Node.KindOneofCase.Append: node.Append.Container = _nodes[node.Append.Container]; break;
                case Node.KindOneofCase.Put: node.Put.Container = _nodes[node.Put.Container]; break;
                case Node.KindOneofCase.SetVariable: node.SetVariable.Node = _nodes[node.SetVariable.Node]; break;
                case Node.KindOneofCase.ReadGradient: node.ReadGradient.Node = _nodes[node.ReadGradient.Node]; break;
                case Node.KindOneofCase.WriteGradient: node.WriteGradient.Node = _nodes[node.WriteGradient.Node]; break;
                case Node.KindOneofCase.NewOptimizer:
                    for (int i = 0; i < node.NewOptimizer.Parameters.Count; i++) node.NewOptimizer.Parameters[i] = _nodes[node.NewOptimizer.Parameters[i]];
                    break;
                case Node.KindOneofCase.OptimizerStep: node.OptimizerStep.Optimizer = _nodes[node.OptimizerStep.Optimizer]; break;
                case Node.KindOneofCase.Barrier:
                    if (!_barriers.TryGetValue(node.Barrier.Id, out uint barrier)) _barriers[node.Barrier.Id] = barrier = recorder.NextBarrier();
                    node.Barrier.Id = barrier;
                    break;
            }
            foreach (Argument argument in node.Arguments()) RemapArgument(argument);
            return node;
        }

        private uint ReplayRegion(uint region) => recorder.RecordRegion(() => ReplayNodes(region));

        private void RemapArgument(Argument argument)
        {
            switch (argument.ValueCase)
            {
                // of a container, the node says it too, and there it has been made to fit
                case Argument.ValueOneofCase.Node: argument.Node = _nodes.GetValueOrDefault(argument.Node, argument.Node); break;
                case Argument.ValueOneofCase.Constant: argument.Constant = recorder.Argument(source._constants[argument.Constant]).Constant; break;
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
