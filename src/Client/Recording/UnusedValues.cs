using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Recording;

/// <summary>
/// Finds operations whose result nothing uses. In C# <c>x *= 0</c> assigns a new value to the variable x, so on a value that was read from
/// a site it edits nothing, where Python edits in place.
/// </summary>
internal static class UnusedValues
{
    /// <summary>One warning for each line of the user that computes such a value.</summary>
    public static IEnumerable<string> Describe(Recorder recorder)
    {
        var nodes = recorder.Program.Nodes;
        HashSet<uint> used =
            [.. nodes.SelectMany(node => node.Arguments().Concat(node.LateArguments())).SelectMany(argument => argument.ReferencedNodes())];
        return Enumerable.Range(0, nodes.Count)
            .Where(id => !used.Contains((uint)id) && nodes[id] is { KindCase: Node.KindOneofCase.Call } node && ComputesValue(node.Call.Op))
            .Select(id => recorder.LineOf((uint)id))
            .Where(line => line is { Line: > 0 })
            .Distinct()
            .Select(line => $"{(line!.ReadText() is { Length: > 0 } text ? $"`{text}`" : "This line")} computes a value that nothing uses. "
                + "To edit the output of a module, assign to it: module.Output = value, or module.Output[..] = value. "
                + $"({Path.GetFileName(line.Path)}:{line.Line})");
    }

    /// <summary>False for an operation that changes its first argument, and for the access to an element, as in a deconstruction.</summary>
    private static bool ComputesValue(string op) => !op.EndsWith('_') && op is not "getitem";
}
