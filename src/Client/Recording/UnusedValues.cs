using System.Text.RegularExpressions;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Recording;

/// <summary>
/// Finds compound assignments whose result nothing uses. In C# <c>x *= 0</c> assigns a new value to the variable x, so on a value that was
/// read from a site it edits nothing, where Python edits in place. Other values that nothing uses are ordinary: one of two results of a
/// function, a metric that is saved at some steps only.
/// </summary>
internal static partial class UnusedValues
{
    /// <summary>One warning for each line of the user that computes such a value.</summary>
    public static IEnumerable<string> Describe(Recorder recorder)
    {
        var nodes = recorder.Program.Nodes;
        HashSet<uint> used = [], usedByOtherLines = [];
        foreach (Node node in nodes)
        {
            foreach (uint id in node.Arguments().Concat(node.LateArguments()).SelectMany(argument => argument.ReferencedNodes()))
            {
                used.Add(id);
                if (nodes[(int)id].Line != node.Line) usedByOtherLines.Add(id);
            }
        }
        return
        [
            .. from id in Enumerable.Range(0, nodes.Count)
               where nodes[id] is { Line: > 0, KindCase: Node.KindOneofCase.Call }
               group (uint)id by nodes[id].Line into computed
               where !computed.All(used.Contains)
               let line = recorder.LineOf(computed.First())
               where line is { Line: > 0 }
               let text = line.ReadText()
               where text is not null && OperationOf(text) is { } op
                   && computed.Where(id => nodes[(int)id].Call.Op == op).ToArray() is var results
                   && !results.All(used.Contains) && !results.Any(usedByOtherLines.Contains)
               select $"`{text}` computes a value that nothing uses. "
                   + "To edit the output of a module, assign to it: module.Output = value, or module.Output[..] = value. "
                   + $"({Path.GetFileName(line.Path)}:{line.Line})",
        ];
    }

    /// <summary>The operation of a compound assignment to a variable; null if the line has none.</summary>
    private static string? OperationOf(string text) => CompoundAssignment().Match(text).Groups["operator"].Value switch
    {
        "+" => "add",
        "-" => "sub",
        "*" => "mul",
        "/" => "div",
        "%" => "remainder",
        "&" => "logical_and",
        _ => null,
    };

    [GeneratedRegex(@"(?<![.\w@])[\p{L}_]\w*\s*(?<operator>[-+*/%&])=(?!=)", RegexOptions.CultureInvariant)]
    private static partial Regex CompoundAssignment();
}
