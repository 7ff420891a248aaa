using Ndif.Protocol;

namespace Ndif.Recording;

/// <summary>A program whose regions are recorded again, into another one: what refers to nodes, regions, constants and lines is made to fit.</summary>
internal sealed class RecordedProgram
{
    private readonly Program _program;
    private readonly TensorData[] _constants; // made once, so that a recorder that meets one twice keeps it once

    public RecordedProgram(Program program)
    {
        _program = program;
        _constants = [.. program.Constants.Select(TensorData.From)];
    }

    /// <summary>Records what the region did into the region that is open.</summary>
    public void RecordAgain(uint region, Recorder into) => new Copy(this, into).Nodes(region);

    private sealed class Copy(RecordedProgram source, Recorder into)
    {
        private readonly Dictionary<uint, uint> _nodes = [], _barriers = [];

        public void Nodes(uint region)
        {
            Region from = source._program.Regions[(int)region];
            foreach (uint parameter in from.Parameters) _nodes[parameter] = into.RegionParameter(source._program.Nodes[(int)parameter].RegionParameter.Name).Node;
            foreach (uint node in from.Nodes) _nodes[node] = into.Add(Of(source._program.Nodes[(int)node].Clone()));
        }

        private Node Of(Node node)
        {
            if (node.Line > 0 && source._program.Lines[(int)node.Line - 1] is var line) node.Line = into.Line(new UserLine(line.File, (int)line.Line, line.Member));
            switch (node.KindCase)
            {
                case Node.KindOneofCase.If:
                    foreach (Branch branch in node.If.Branches) branch.Region = Region(branch.Region);
                    break;
                case Node.KindOneofCase.ForEach: node.ForEach.Region = Region(node.ForEach.Region); break;
                case Node.KindOneofCase.While:
                    (node.While.ConditionRegion, node.While.Region) = (Region(node.While.ConditionRegion), Region(node.While.Region));
                    if (node.While.Condition is { } condition) Fit(condition);
                    break;
                case Node.KindOneofCase.Steps when node.Steps.Each is null:
                    foreach (Step step in node.Steps.Unrolled) step.Region = Region(step.Region);
                    break;
                case Node.KindOneofCase.Steps: node.Steps.Region = Region(node.Steps.Region); break;
                case Node.KindOneofCase.Backward: node.Backward.Region = Region(node.Backward.Region); break;
                case Node.KindOneofCase.DefineModule: node.DefineModule.Forward = Region(node.DefineModule.Forward); break;
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
                    if (!_barriers.TryGetValue(node.Barrier.Id, out uint barrier)) _barriers[node.Barrier.Id] = barrier = into.NextBarrier();
                    node.Barrier.Id = barrier;
                    break;
            }
            foreach (Argument argument in node.Arguments()) Fit(argument);
            return node;
        }

        private uint Region(uint region) => into.InRegion(() => Nodes(region));

        private void Fit(Argument argument)
        {
            switch (argument.ValueCase)
            {
                // of a container, the node says it too, and there it has been made to fit
                case Argument.ValueOneofCase.Node: argument.Node = _nodes.GetValueOrDefault(argument.Node, argument.Node); break;
                case Argument.ValueOneofCase.Constant: argument.Constant = into.Argument(source._constants[argument.Constant]).Constant; break;
                case Argument.ValueOneofCase.List: foreach (Argument item in argument.List.Items) Fit(item); break;
                case Argument.ValueOneofCase.Tuple: foreach (Argument item in argument.Tuple.Items) Fit(item); break;
                case Argument.ValueOneofCase.Map: foreach (ArgumentEntry entry in argument.Map.Entries) Fit(entry.Value); break;
                case Argument.ValueOneofCase.Slice:
                    foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                        if (part is not null) Fit(part);
                    break;
            }
        }
    }
}
