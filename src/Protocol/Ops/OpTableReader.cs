using System;
using System.Collections.Generic;

namespace Ndif.Protocol.Ops;

/// <summary>
/// Reads the files of the op table (*.ops). A file consists of comments (<c># text</c>) and rows. A row is a schema in PyTorch's
/// language, after its summary (<c>## text</c>); lines that begin with spaces continue it. A name after <c>#</c> at the end of the row is
/// the C# method, where it differs from the one that the generator's rule gives.
/// </summary>
/// <remarks>This file is part of the generator's project too, and compiles for netstandard2.0.</remarks>
internal static class OpTableReader
{
    /// <exception cref="FormatException">A line is neither a comment nor part of a row.</exception>
    public static IEnumerable<OpRow> Read(string text)
    {
        string summary = "", row = "";
        foreach (string line in text.Split('\n'))
        {
            string trimmed = line.Trim();
            if (trimmed.Length > 0 && row.Length > 0 && line[0] == ' ')
            {
                row += " " + trimmed;
                continue;
            }
            if (row.Length > 0)
            {
                yield return Parse(row, summary);
                (row, summary) = ("", "");
            }
            if (trimmed.StartsWith("##", StringComparison.Ordinal)) summary = trimmed.Substring(2).Trim();
            else if (trimmed.Length > 0 && trimmed[0] != '#') row = trimmed;
        }
        if (row.Length > 0) yield return Parse(row, summary);
    }

    private static OpRow Parse(string row, string summary)
    {
        int arrow = row.LastIndexOf("->", StringComparison.Ordinal);
        if (arrow < 0 || row.IndexOf('(') < 0)
            throw new FormatException($"`{row}` is not a row of the op table: name(parameters) -> result.");
        int comment = row.IndexOf('#', arrow);
        return comment < 0 ? new OpRow(row, summary, "")
            : new OpRow(row.Substring(0, comment).Trim(), summary, row.Substring(comment + 1).Trim());
    }
}

/// <summary>One row of an op table file.</summary>
internal readonly struct OpRow(string schema, string summary, string method)
{
    /// <summary>The value of the method for an operation whose C# method is written by hand; the generator writes none.</summary>
    public const string ByHand = "by hand";

    /// <summary>The schema: <c>softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor</c>.</summary>
    public string Schema { get; } = schema;

    /// <summary>What the operation computes, in one line.</summary>
    public string Summary { get; } = summary;

    /// <summary>The C# method; empty if the name follows the rule of the generator.</summary>
    public string Method { get; } = method;
}
