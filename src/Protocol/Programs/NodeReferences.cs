namespace Ndif.Protocol.Programs;

/// <summary>What a node refers to: other nodes, constants and regions. The one place that knows it for every kind.</summary>
public static class NodeReferences
{
    /// <summary>The arguments of a node, whatever its kind.</summary>
    public static IEnumerable<Argument> Arguments(this Node node) => node.KindCase switch
    {
        Node.KindOneofCase.Call => node.Call.Arguments.Concat(node.Call.Keywords.Values),
        Node.KindOneofCase.Write => [node.Write.Value],
        Node.KindOneofCase.Skip => [node.Skip.Value],
        Node.KindOneofCase.StartAt => [node.StartAt.Value],
        Node.KindOneofCase.CallModule => node.CallModule.Arguments.Concat(node.CallModule.Keywords.Values),
        Node.KindOneofCase.Save => [node.Save.Value],
        Node.KindOneofCase.Container => node.Container.Items.Concat(node.Container.Entries.Select(e => e.Value)),
        Node.KindOneofCase.Append => [NodeArgument(node.Append.Container), node.Append.Value],
        Node.KindOneofCase.Put => [NodeArgument(node.Put.Container), node.Put.Value],
        Node.KindOneofCase.SetVariable => [NodeArgument(node.SetVariable.Node), node.SetVariable.Value],
        Node.KindOneofCase.If => node.If.Branches.Where(b => b.Condition is not null).Select(b => b.Condition),
        Node.KindOneofCase.ForEach => [node.ForEach.Items],
        Node.KindOneofCase.Trace => node.Trace.Invokes.SelectMany(i => InputArguments(i.Input)),
        Node.KindOneofCase.Backward => node.Backward.Gradient is { } gradient ? [node.Backward.Loss, gradient] : [node.Backward.Loss],
        Node.KindOneofCase.ReadGradient => [NodeArgument(node.ReadGradient.Node)],
        Node.KindOneofCase.WriteGradient => [NodeArgument(node.WriteGradient.Node), node.WriteGradient.Value],
        Node.KindOneofCase.Log => node.Log.Values,
        Node.KindOneofCase.Local => node.Local.Values,
        Node.KindOneofCase.NewParameter => [node.NewParameter.Initial],
        Node.KindOneofCase.NewOptimizer => node.NewOptimizer.Parameters.Select(NodeArgument),
        Node.KindOneofCase.OptimizerStep => [NodeArgument(node.OptimizerStep.Optimizer)],
        Node.KindOneofCase.DefineModule => node.DefineModule.Layers.SelectMany(l => l.Weights.Values),
        _ => [],
    };

    /// <summary>The nodes an argument refers to, also inside of lists, maps and slices.</summary>
    public static IEnumerable<uint> ReferencedNodes(this Argument argument) => argument.ValueCase switch
    {
        Argument.ValueOneofCase.Node => [argument.Node],
        Argument.ValueOneofCase.List => argument.List.Items.SelectMany(ReferencedNodes),
        Argument.ValueOneofCase.Tuple => argument.Tuple.Items.SelectMany(ReferencedNodes),
        Argument.ValueOneofCase.Map => argument.Map.Entries.SelectMany(e => e.Value.ReferencedNodes()),
        Argument.ValueOneofCase.Slice => new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step }.Where(a => a is not null).SelectMany(ReferencedNodes),
        _ => [],
    };

    /// <summary>The nodes whose values a node needs before it can run.</summary>
    public static IEnumerable<uint> Dependencies(this Node node) => node.Arguments().SelectMany(ReferencedNodes);

    /// <summary>What a node needs that stands in a region of it.</summary>
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

    /// <summary>The regions a node runs, in order.</summary>
    public static IEnumerable<uint> Regions(this Node node) => node.KindCase switch
    {
        Node.KindOneofCase.If => node.If.Branches.Select(b => b.Region),
        Node.KindOneofCase.ForEach => [node.ForEach.Region],
        Node.KindOneofCase.While => [node.While.ConditionRegion, node.While.Region],
        Node.KindOneofCase.Steps => node.Steps.Each is null ? node.Steps.Unrolled.Select(s => s.Region) : [node.Steps.Region],
        Node.KindOneofCase.Trace => node.Trace.Invokes.Select(i => i.Region).Append(node.Trace.Region),
        Node.KindOneofCase.Backward => [node.Backward.Region],
        Node.KindOneofCase.DefineModule => [node.DefineModule.Forward],
        _ => [],
    };

    private static Argument NodeArgument(uint node) => new() { Node = node };

    private static IEnumerable<Argument> InputArguments(Input? input) => input is null ? []
        : new[] { input.Ids, input.AttentionMask }.Where(a => a is not null).Concat(input.Arguments).Concat(input.Keywords.Values);
}
