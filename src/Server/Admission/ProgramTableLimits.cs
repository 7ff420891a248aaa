using Ndif.Protocol;

namespace Ndif.Server.Admission;

/// <summary>
/// Bounds the tables of a program: every entry of them is referred to by a node, so none needs more entries than there may be nodes. What
/// nothing refers to costs memory as well, in the gateway, in the queue and in the worker.
/// </summary>
internal static class ProgramTableLimits
{
    private const int MaxFeatures = 64, MaxTextLength = 1024, MaxConstants = 10_000;

    /// <exception cref="NdifException">LIMIT_EXCEEDED: a table of the program is too long.</exception>
    public static void Validate(Program program, ProgramLimits limits)
    {
        Check(program.Nodes.Count, limits.Nodes, "nodes", "Use loops that are recorded as one region, or split the experiment.");
        Check(program.Regions.Count, limits.Nodes, "regions", "Each loop and branch needs one; leave out those that no node refers to.");
        Check(program.Lines.Count, limits.Nodes, "source lines", "Leave out those that no node refers to.");
        Check(program.Constants.Count, MaxConstants, "constants", "Stack small tensors into one constant, and index it.");
        Check(program.RequiredFeatures.Count, MaxFeatures, "required features", "");
        long listed = 0;
        foreach (Region region in program.Regions) listed += region.Nodes.Count + region.Parameters.Count;
        Check(listed, limits.Nodes, "nodes in its regions", "A node is in one region.");
        if (program.Client.Length > MaxTextLength)
            throw ServerErrors.OverLimit("characters in the name of its client", program.Client.Length, MaxTextLength, "");
    }

    private static void Check(long count, long limit, string what, string hint)
    {
        if (count > limit) throw ServerErrors.OverLimit(what, count, limit, hint);
    }
}
