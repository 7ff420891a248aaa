using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Compiling;

/// <summary>
/// The statement after which each value is freed: the last one that uses it, or that contains the use, in the innermost region that
/// contains both. A value that is used inside a loop lives until the end of the loop, one that is used by another invoke until the end
/// of the trace.
/// </summary>
internal sealed class ValueLifetimes
{
    private readonly List<uint>[] _freedAfter;
    private readonly int[] _uses;
    private readonly bool[] _isSaved;

    private ValueLifetimes(int nodes)
    {
        (_freedAfter, _uses, _isSaved) = (new List<uint>[nodes], new int[nodes], new bool[nodes]);
        OwnerRegions = new int[nodes];
    }

    /// <summary>For each node, the region of the invoke that computes it, or the root region.</summary>
    public int[] OwnerRegions { get; }

    public uint[] FreedAfter(uint node) => _freedAfter[node] is { } frees ? [.. frees] : [];

    /// <summary>Whether the value of a node is used once, by a statement that saves it.</summary>
    public bool IsOnlySaved(uint node) => _isSaved[node] && _uses[node] == 1;

    public static ValueLifetimes Analyze(Program program)
    {
        var lifetimes = new ValueLifetimes(program.Nodes.Count);
        var regionOf = new int[program.Nodes.Count];            // the region that contains a node
        var parentOf = new int[program.Regions.Count];          // the node that runs a region; -1 for the root
        var position = new int[program.Nodes.Count];            // the position of a node in its region
        var depth = new int[program.Regions.Count];
        parentOf[0] = -1;
        Place(0, owner: 0);

        var last = new uint[program.Nodes.Count];
        for (uint id = 0; id < last.Length; id++) last[id] = id;
        for (uint user = 0; user < program.Nodes.Count; user++)
            foreach (uint used in Uses(program.Nodes[(int)user]))
            {
                last[used] = Later(last[used], Lift(user, used));
                lifetimes._uses[used]++;
                lifetimes._isSaved[used] |= program.Nodes[(int)user].KindCase is Node.KindOneofCase.Save;
            }
        for (uint id = 0; id < last.Length; id++)
        {
            if (program.Nodes[(int)id].KindCase is Node.KindOneofCase.RegionParameter) continue;
            // A region may not run to its end: the statements around it free the values that are left.
            for (int statement = (int)last[id]; statement >= 0; statement = parentOf[regionOf[statement]])
                (lifetimes._freedAfter[statement] ??= []).Add(id);
        }
        return lifetimes;

        static IEnumerable<uint> Uses(Node node) =>
            node.Arguments().Concat(node.LateArguments()).SelectMany(NodeReferences.ReferencedNodes);

        void Place(uint region, int owner)
        {
            Region r = program.Regions[(int)region];
            foreach (uint parameter in r.Parameters) (regionOf[parameter], lifetimes.OwnerRegions[parameter]) = ((int)region, owner);
            for (int i = 0; i < r.Nodes.Count; i++)
            {
                uint node = r.Nodes[i];
                (regionOf[node], position[node], lifetimes.OwnerRegions[node]) = ((int)region, i, owner);
                bool isTrace = program.Nodes[(int)node].KindCase is Node.KindOneofCase.Trace;
                foreach (uint inner in program.Nodes[(int)node].Regions())
                {
                    (parentOf[inner], depth[inner]) = ((int)node, depth[region] + 1);
                    Place(inner, isTrace ? (int)inner : owner);
                }
            }
        }

        // The statement that is `user` or contains it, in the innermost region that contains `used` too.
        uint Lift(uint user, uint used)
        {
            HashSet<int> around = [];
            for (int at = (int)used; at >= 0; at = parentOf[regionOf[at]]) around.Add(regionOf[at]);
            int statement = (int)user;
            while (!around.Contains(regionOf[statement])) statement = parentOf[regionOf[statement]];
            return (uint)statement;
        }

        // A statement of an outer region ends later than all statements inside it.
        uint Later(uint a, uint b) => depth[regionOf[a]] != depth[regionOf[b]]
            ? depth[regionOf[a]] < depth[regionOf[b]] ? a : b
            : position[a] >= position[b] ? a : b;
    }
}
