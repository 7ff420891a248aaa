using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Edits;

/// <summary>
/// Copies regions of a program within it, with everything that they contain, so that the edits of one prompt become those of another.
/// References to nodes inside the region become those to their copies; constants and definitions of modules are shared.
/// </summary>
internal sealed class RegionCopier(Program program)
{
    private readonly Dictionary<uint, uint> _copies = [];

    /// <summary>Copies a region whose nodes are of the kinds that <see cref="EditsProgramValidator"/> allows.</summary>
    /// <returns>The copy.</returns>
    public uint Copy(uint region)
    {
        uint id = (uint)program.Regions.Count;
        var copy = new Region();
        program.Regions.Add(copy);
        Region original = program.Regions[(int)region];
        foreach (uint parameter in original.Parameters) copy.Parameters.Add(CopyNode(parameter));
        foreach (uint node in original.Nodes) copy.Nodes.Add(CopyNode(node));
        return id;
    }

    private uint CopyNode(uint original)
    {
        Node copy = program.Nodes[(int)original].Clone();
        foreach (Argument argument in copy.Arguments()) Remap(argument);
        CopyRegions(copy);
        foreach (Argument argument in copy.LateArguments()) Remap(argument);
        uint id = (uint)program.Nodes.Count;
        program.Nodes.Add(copy);
        return _copies[original] = id;
    }

    private void CopyRegions(Node node)
    {
        switch (node.KindCase)
        {
            case Node.KindOneofCase.If:
                foreach (Branch branch in node.If.Branches) branch.Region = Copy(branch.Region);
                break;
            case Node.KindOneofCase.ForEach:
                node.ForEach.Region = Copy(node.ForEach.Region);
                break;
            case Node.KindOneofCase.While:
                (node.While.ConditionRegion, node.While.Region) = (Copy(node.While.ConditionRegion), Copy(node.While.Region));
                break;
            case Node.KindOneofCase.Steps when node.Steps.Each is not null:
                node.Steps.Region = Copy(node.Steps.Region);
                break;
            case Node.KindOneofCase.Steps:
                foreach (Step step in node.Steps.Unrolled) step.Region = Copy(step.Region);
                break;
            case Node.KindOneofCase.CallModule:
                foreach (CallAdapter adapter in node.CallModule.Adapters) adapter.Forward = Copy(adapter.Forward);
                break;
            // fields that refer to a node directly
            case Node.KindOneofCase.Append:
                node.Append.Container = GetCopy(node.Append.Container);
                break;
            case Node.KindOneofCase.Put:
                node.Put.Container = GetCopy(node.Put.Container);
                break;
            case Node.KindOneofCase.SetVariable:
                node.SetVariable.Node = GetCopy(node.SetVariable.Node);
                break;
        }
    }

    private uint GetCopy(uint node) => _copies.GetValueOrDefault(node, node);

    private void Remap(Argument argument)
    {
        switch (argument.ValueCase)
        {
            case Argument.ValueOneofCase.Node: argument.Node = GetCopy(argument.Node); break;
            case Argument.ValueOneofCase.List: foreach (Argument item in argument.List.Items) Remap(item); break;
            case Argument.ValueOneofCase.Tuple: foreach (Argument item in argument.Tuple.Items) Remap(item); break;
            case Argument.ValueOneofCase.Map: foreach (ArgumentEntry entry in argument.Map.Entries) Remap(entry.Value); break;
            case Argument.ValueOneofCase.Slice:
                foreach (Argument? part in new[] { argument.Slice.Start, argument.Slice.Stop, argument.Slice.Step })
                    if (part is not null) Remap(part);
                break;
        }
    }
}
