namespace Ndif.Protocol.Programs;

/// <summary>What a node refers to: other nodes, constants and regions.</summary>
public static class NodeReferences
{
    /// <summary>The arguments that a node evaluates before it runs.</summary>
    public static IEnumerable<Argument> Arguments(this Node node) => NodeArgumentVisitor.Instance.Visit(node, default);

    /// <summary>
    /// The arguments that a node evaluates in or after its regions: the condition of a while loop, the result of a module's forward.
    /// </summary>
    public static IEnumerable<Argument> LateArguments(this Node node) => NodeRegionVisitor.Instance.Visit(node, default).LateArguments;

    /// <summary>The regions that a node runs, in order.</summary>
    public static IEnumerable<uint> Regions(this Node node) => NodeRegionVisitor.Instance.Visit(node, default).Regions;

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
}
