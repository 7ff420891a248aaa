using Ndif.Engine.Compiling;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// What a program can do that accessed a hook point after the pass had run past it. An access can be moved up unless it depends on a
/// value that the model computes later in the same pass.
/// </summary>
internal static class MissedAccessAdvice
{
    /// <param name="point">The hook point that was missed.</param>
    /// <param name="call">The call of it.</param>
    public static string For(Interpreter invoke, HookPoint point, int call, SiteValues sites)
    {
        string name = sites.NameOf(point);
        if (invoke.Job.Plan.Statements[invoke.CurrentNode] is not ReadStatement
            && FindLaterSource(invoke, point, call, sites) is { } source)
        {
            return $"It depends on {source}, which the model computes later in the same pass, so it cannot come earlier. Save that value "
                + "in a trace before this one and use what was saved here, or put both traces into one session.";
        }
        string first = invoke.LastHookPoint is { } last && IsLater(last, invoke.LastCall, point, call, sites)
            ? invoke.LastCall == call ? $"`{sites.NameOf(last)}`" : $"call {invoke.LastCall} of `{sites.NameOf(last)}`"
            : "the trace's result, a barrier, or a value of another invoke";
        return $"Within one invoke, access modules in the order in which they run: move `{name}` up, before what is accessed later in the "
            + $"model (here {first} came first).";
    }

    /// <summary>A value that the current statement or a condition around it needs, and that the model computes after the point.</summary>
    public static string? FindLaterSource(Interpreter invoke, HookPoint point, int call, SiteValues sites)
    {
        Plan plan = invoke.Job.Plan;
        Dictionary<uint, uint> ownerOfRegion = [], regionOf = [];
        for (uint node = 0; node < plan.Program.Nodes.Count; node++)
            foreach (uint region in plan.Program.Nodes[(int)node].Regions()) ownerOfRegion[region] = node;
        for (int region = 0; region < plan.Regions.Length; region++)
            foreach (uint node in plan.Regions[region]) regionOf[node] = (uint)region;

        var open = new Stack<uint>([invoke.CurrentNode]);
        for (uint at = invoke.CurrentNode; regionOf.TryGetValue(at, out uint region) && ownerOfRegion.TryGetValue(region, out at);)
            if (plan.Statements[at] is IfStatement or ForEachStatement) open.Push(at);
        HashSet<uint> seen = [.. open];
        while (open.TryPop(out uint node))
        {
            if (plan.Statements[node] is ReadStatement read && IsLater(read.Point, read.Call ?? call, point, call, sites))
                return $"`{sites.NameOf(read.Point)}`";
            if (plan.Statements[node] is ResultStatement && plan.OwnerRegions[node] == plan.OwnerRegions[invoke.CurrentNode])
                return "the result of the trace";
            foreach (uint source in plan.Program.Nodes[(int)node].Dependencies())
                if (seen.Add(source)) open.Push(source);
        }
        return null;
    }

    /// <summary>Whether the model reaches a hook point after another one: a module's input, then its submodules, then its output.</summary>
    private static bool IsLater(HookPoint a, int callOfA, HookPoint b, int callOfB, SiteValues sites)
    {
        if (callOfA != callOfB) return callOfA > callOfB;
        string pathOfA = sites.PathOf(a), pathOfB = sites.PathOf(b);
        if (pathOfA == pathOfB)
        {
            if (a.IsOperation && b.IsOperation) return (a.Operation, a.IsAfter ? 1 : 0).CompareTo((b.Operation, b.IsAfter ? 1 : 0)) > 0;
            return a.IsOperation ? !b.IsAfter : b.IsOperation ? a.IsAfter : a.IsAfter && !b.IsAfter;
        }
        if (IsWithin(pathOfA, pathOfB)) return !b.IsAfter;
        return IsWithin(pathOfB, pathOfA) ? a.IsAfter : a.Module > b.Module;
    }

    private static bool IsWithin(string inner, string outer) =>
        outer.Length == 0 || inner.StartsWith(outer + ".", StringComparison.Ordinal);
}
