using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace Ndif.Models.Source;

/// <summary>
/// The shape of a value in words, as the comments beside the code say it: "[rows, heads, tokens, keys]"; of a tuple, one for each
/// element. Null dimensions: not known.
/// </summary>
internal sealed class Form
{
    private static readonly Regex s_group = new(@"\[([^\[\]]*)\]");
    private static readonly Regex s_axis = new(@"\b(rows|tokens|keys)\b");

    private readonly string[]?[] _elements;

    public Form(params string[]?[] elements) => _elements = elements;

    /// <summary>One for all elements, if there are fewer shapes than elements.</summary>
    public string[]? this[int element] => _elements.Length == 0 ? null : _elements[element < _elements.Length ? element : _elements.Length - 1];

    /// <summary>The shape of a tensor.</summary>
    public string[]? Dimensions => this[0];

    /// <summary>The shapes in a comment, in order; null if there is none.</summary>
    public static Form? Parse(string text)
    {
        List<string[]?> elements = [];
        foreach (Match match in s_group.Matches(text))
            elements.Add([.. match.Groups[1].Value.Split(',').Select(d => d.Trim()).Where(d => d.Length > 0).Select(Word)]);
        return elements.Count == 0 ? null : new Form([.. elements]);
    }

    /// <summary>True for a dimension that runs over rows, tokens or keys, alone or mixed with others.</summary>
    public static bool IsAxis(string dimension) => s_axis.IsMatch(dimension);

    /// <summary>Where rows, tokens and keys stand; null where that cannot be said: a mixture of them, or "...".</summary>
    public static (int Rows, int Tokens, int Keys)? Axes(string[]? dimensions)
    {
        if (dimensions is null || dimensions.Any(d => d == "..." || (IsAxis(d) && d is not ("rows" or "tokens" or "keys")))) return null;
        return (Index("rows"), Index("tokens"), Index("keys"));

        int Index(string word) => System.Array.IndexOf(dimensions, word);
    }

    public override string ToString() => string.Join(" ", _elements.Select(Text));

    public static string Text(string[]? dimensions) => dimensions is null ? "?" : $"[{string.Join(", ", dimensions)}]";

    /// <summary>Passes of the engine keep the logits of all tokens.</summary>
    private static string Word(string dimension) => dimension == "tokens kept" ? "tokens" : dimension;
}
