using System.Collections.Generic;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Text;

namespace Ndif.Models.Generator;

/// <summary>
/// A function's text, line by line, with the conditions on the instance under which a line is shown. Where a condition holds, the
/// statement is shown without its <c>if</c>: this is the code that the instance runs.
/// </summary>
internal sealed class TextLines
{
    private readonly int _firstLine;
    private readonly int[] _margins; // columns that each line was moved by
    private readonly string[] _lines;
    private readonly List<int>?[] _conditions; // null: never shown

    private TextLines(int firstLine, int margin, string[] lines, SyntaxTree tree)
    {
        (_firstLine, _lines) = (firstLine, lines);
        TextLineCollection written = tree.GetText().Lines;
        string blank = new(' ', margin);
        _margins = [.. lines.Select((_, i) =>
            written[firstLine + i].ToString().StartsWith(blank, System.StringComparison.Ordinal) ? margin : 0)];
        _conditions = [.. lines.Select(_ => new List<int>())];
    }

    /// <param name="text">The function as it is written, moved to the left margin.</param>
    /// <param name="firstLine">The line number of the text in its file, from 0.</param>
    /// <param name="margin">The number of columns by which the text was moved.</param>
    public static IEnumerable<(string Text, IReadOnlyList<int>? Conditions)> Of(
        string text, int firstLine, int margin, SyntaxNode function, InstanceConditions conditions)
    {
        var lines = new TextLines(firstLine, margin, text.Split('\n'), function.SyntaxTree);
        foreach (IfStatementSyntax statement in function.DescendantNodes().OfType<IfStatementSyntax>())
        {
            if (conditions.Find(statement) is not { } condition) continue;
            lines.Add(statement, condition);
            if (conditions.FindExit(statement) is not null && statement.Parent is BlockSyntax block)
                lines.AddRest(statement, block, condition);
        }
        return lines._lines.Zip(lines._conditions, (line, shown) => (line, (IReadOnlyList<int>?)shown));
    }

    private void Add(IfStatementSyntax statement, int condition)
    {
        Branch(statement.IfKeyword, statement.Statement, condition);
        if (statement.Else is { } otherwise) Branch(otherwise.ElseKeyword, otherwise.Statement, ~condition);
    }

    private void AddRest(IfStatementSyntax exit, BlockSyntax block, int condition)
    {
        int last = LineOf(block.CloseBraceToken.GetLocation().GetLineSpan().StartLinePosition.Line);
        for (int line = LineOf(exit.GetLocation().GetLineSpan().EndLinePosition.Line) + 1; line < last; line++)
            _conditions[line]?.Add(~condition);
    }

    private void Branch(SyntaxToken keyword, StatementSyntax statement, int condition)
    {
        int header = LineOf(keyword.GetLocation().GetLineSpan().StartLinePosition.Line);
        FileLinePositionSpan span = statement.GetLocation().GetLineSpan();
        int first = LineOf(span.StartLinePosition.Line), last = LineOf(span.EndLinePosition.Line);
        if (first == header)
        {
            int from = keyword.GetLocation().GetLineSpan().StartLinePosition.Character - _margins[header];
            int to = span.StartLinePosition.Character - _margins[header];
            _lines[header] = _lines[header].Substring(0, from) + _lines[header].Substring(to);
        }
        else
        {
            for (int line = header; line < first; line++) _conditions[line] = null;
            if (statement is BlockSyntax) (_conditions[first], _conditions[last]) = (null, null);
            for (int line = first; line <= last; line++)
                if (_lines[line].StartsWith("    ", System.StringComparison.Ordinal)) _lines[line] = _lines[line].Substring(4);
        }
        for (int line = first; line <= last; line++) _conditions[line]?.Add(condition);
    }

    private int LineOf(int fileLine) => fileLine - _firstLine;
}
