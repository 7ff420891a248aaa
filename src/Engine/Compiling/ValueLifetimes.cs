using Ndif.Protocol;
using Ndif.Protocol.Programs;


namespace Ndif.Engine.Compiling;

/// <summary>
/// After which statement each value can go: the last one that uses it, or that holds the use, in the innermost region around
/// both. A value used inside of a loop lives until the loop's end; one used by another invoke until the trace's end.
/// </summary>
internal sealed class ValueLifetimes
{
    private readonly List<uint>[] _freedAfter;

    private ValueLifetimes(int nodes)
    {
        _freedAfter = new List<uint>[nodes];
        OwnerRegions = new int[nodes];
    }

    /// <summary>For each node the region of the invoke, or the session's, that computes it.</summary>
    public int[] OwnerRegions { get; }

    public uint[] FreedAfter(uint node) => _freedAfter[node] is { } frees ? [.. frees] : [];

    public static ValueLifetimes Analyze(Program program)
    {
        var lifetimes = new ValueLifetimes(program.Nodes.Count);
        var regionOf = new int[program.Nodes.Count];            // the region a node stands in
        var holderOf = new int[program.Regions.Count];          // the node that runs a region; -1 for the root
        var position = new int[program.Nodes.Count];            // within its region
        var depth = new int[program.Regions.Count];
        holderOf[0] = -1;
        Place(0, owner: 0);

        var last = new uint[program.Nodes.Count];
        for (uint id = 0; id < last.Length; id++) last[id] = id;
        for (uint user = 0; user < program.Nodes.Count; user++)
            foreach (uint used in Uses(program.Nodes[(int)user]))
                last[used] = Later(last[used], Lift(user, used));
        for (uint id = 0; id < last.Length; id++)
        {
            if (program.Nodes[(int)id].KindCase is Node.KindOneofCase.RegionParameter) continue;
            // the holders of a region free what is left when it was not run to its end
            for (int holder = (int)last[id]; holder >= 0; holder = holderOf[regionOf[holder]])
                (lifetimes._freedAfter[holder] ??= []).Add(id);
        }
        return lifetimes;

        // a loop asks for its condition between the turns, and a module for its result at the end of its forward
        static IEnumerable<uint> Uses(Node node) => node.KindCase switch
        {
            Node.KindOneofCase.While => node.While.Condition.ReferencedNodes(),
            Node.KindOneofCase.DefineModule => node.DefineModule.Result.ReferencedNodes(),
            _ => node.Dependencies(),
        };

        void Place(uint region, int owner)
        {
            Region r = program.Regions[(int)region];
            foreach (uint parameter in r.Parameters) (regionOf[parameter], lifetimes.OwnerRegions[parameter]) = ((int)region, owner);
            for (int i = 0; i < r.Nodes.Count; i++)
            {
                uint node = r.Nodes[i];
                (regionOf[node], position[node], lifetimes.OwnerRegions[node]) = ((int)region, i, owner);
                bool trace = program.Nodes[(int)node].KindCase is Node.KindOneofCase.Trace;
                foreach (uint inner in program.Nodes[(int)node].Regions())
                {
                    (holderOf[inner], depth[inner]) = ((int)node, depth[region] + 1);
                    Place(inner, trace ? (int)inner : owner);
                }
            }
        }

        // the statement that is or holds `user`, in the innermost region that holds both
        uint Lift(uint user, uint used)
        {
            HashSet<int> around = [];
            for (int at = (int)used; at >= 0; at = holderOf[regionOf[at]]) around.Add(regionOf[at]);
            int holder = (int)user;
            while (!around.Contains(regionOf[holder])) holder = holderOf[regionOf[holder]];
            return (uint)holder;
        }

        // one further out ends later than all within
        uint Later(uint a, uint b) => depth[regionOf[a]] != depth[regionOf[b]]
            ? depth[regionOf[a]] < depth[regionOf[b]] ? a : b
            : position[a] >= position[b] ? a : b;
    }
}
