using System.Globalization;
using System.Text;

namespace Ndif.Protocol;

/// <summary>Prints a function with the names of its operations next to the lines, or one operation with the lines around it.</summary>
public static class SourcePrinter
{
    private const int ContextLines = 5;

    /// <summary>
    /// <code>
    ///  self_c_attn_0 -> 194     Tensor[] parts = _cAttn.Call(hidden).split(_heads * _width, 2);
    ///  split_0       ->   +     ...
    /// </code>
    /// </summary>
    public static string Print(FunctionSource function)
    {
        var text = new StringBuilder();
        int names = function.Operations.Count == 0 ? 0 : function.Operations.Max(o => o.Name.Length);
        string[] lines = function.Text.Split('\n');
        int digits = FormatLineNumber(function.Line + (uint)lines.Length).Length;
        for (uint i = 0; i < lines.Length; i++)
        {
            OperationSource[] here = [.. function.Operations.Where(o => o.Line == function.Line + i)];
            text.Append(here.Length > 0 ? $" {here[0].Name.PadRight(names)} -> " : new string(' ', names + 5));
            text.Append(FormatLineNumber(function.Line + i).PadLeft(digits)).Append(' ').Append(lines[i].TrimEnd()).Append('\n');
            foreach (OperationSource other in here.Skip(1)) text.Append($" {other.Name.PadRight(names)} -> {"+".PadLeft(digits)} ...\n");
        }
        return text.ToString().TrimEnd('\n');
    }

    /// <summary>Prints the operation's line, marked, with the lines around it.</summary>
    public static string Print(ResolvedOperation operation, string path)
    {
        string[] lines = operation.Function.Text.Split('\n');
        int at = (int)(operation.Operation.Line - operation.Function.Line);
        int from = Math.Max(0, at - ContextLines), to = Math.Min(lines.Length - 1, at + ContextLines);
        var text = new StringBuilder($"{ModulePaths.DisplayName(path)}.source.{operation.Path}");
        if (operation.Operation.Shape is not ("" or "?")) text.Append(": ").Append(operation.Operation.Shape);
        text.Append("\n\n");
        if (from > 0) text.Append("     ....\n");
        for (int i = from; i <= to; i++)
        {
            string marker = i == at ? " --> " : "     ";
            text.Append($"{marker}{FormatLineNumber(operation.Function.Line + (uint)i)} {lines[i].TrimEnd()}\n");
        }
        if (to < lines.Length - 1) text.Append("     ....\n");
        return text.ToString().TrimEnd('\n');
    }

    private static string FormatLineNumber(uint line) => line.ToString(CultureInfo.InvariantCulture);
}
