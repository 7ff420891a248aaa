using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace Ndif.Models.Generator;

/// <summary>
/// The symbolic shape of a value, as in the comments of the code: "[batch, heads, seq, kvSeq]"; for a tuple, one for each
/// element. Null dimensions are unknown.
/// </summary>
internal sealed class SymbolicShape
{
    private static readonly Regex _shapePattern = new(@"\[([^\[\]]*)\]");
    private static readonly Regex _axisPattern = new(@"\b(batch|seq|kvSeq)\b");

    private readonly string[]?[] _elements;

    public SymbolicShape(params string[]?[] elements) => _elements = elements;

    /// <summary>The shape of an element; the last shape applies to all further elements.</summary>
    public string[]? this[int element] => _elements.Length == 0 ? null
        : _elements[element < _elements.Length ? element : _elements.Length - 1];

    /// <summary>The shape of a tensor.</summary>
    public string[]? Dimensions => this[0];

    /// <summary>The shapes in a comment, in order; null if there is none.</summary>
    public static SymbolicShape? Parse(string text)
    {
        List<string[]?> elements = [];
        foreach (Match match in _shapePattern.Matches(text))
            elements.Add([.. match.Groups[1].Value.Split(',').Select(d => d.Trim()).Where(d => d.Length > 0).Select(NormalizeDimension)]);
        return elements.Count == 0 ? null : new SymbolicShape([.. elements]);
    }

    /// <summary>True for a dimension that contains batch, seq or kvSeq, alone or combined with others.</summary>
    public static bool ContainsAxis(string dimension) => _axisPattern.IsMatch(dimension);

    /// <summary>The indices of batch, seq and kvSeq; null where they are combined with others, or the rank is not known ("...").</summary>
    public static (int Rows, int Tokens, int Keys)? Axes(string[]? dimensions)
    {
        if (dimensions is null || dimensions.Any(d => d == "..." || (ContainsAxis(d) && d is not ("batch" or "seq" or "kvSeq"))))
            return null;
        return (Index("batch"), Index("seq"), Index("kvSeq"));

        int Index(string word) => System.Array.IndexOf(dimensions, word);
    }

    public override string ToString() => string.Join(" ", _elements.Select(Text));

    public static string Text(string[]? dimensions) => dimensions is null ? "?" : $"[{string.Join(", ", dimensions)}]";

    /// <summary>The engine keeps the logits of all tokens.</summary>
    private static string NormalizeDimension(string dimension) => dimension == "seq kept" ? "seq" : dimension;
}
