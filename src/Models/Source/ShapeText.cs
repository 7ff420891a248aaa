namespace Ndif.Models;

/// <summary>From a shape in words to the dimensions that an invoke's view cuts.</summary>
internal static class ShapeText
{
    private static readonly string[] s_words = ["rows", "tokens", "keys"];

    /// <summary>
    /// Known only if a dimension is exactly "rows" or "rows · tokens", and none mixes rows, tokens or keys with something else
    /// ("rows · groups"): then which part is whose cannot be cut out.
    /// </summary>
    /// <param name="text">One shape, or one for each element of a tuple; the last stands for the elements after it.</param>
    /// <param name="module">What "..." stands for.</param>
    public static Axes Axes(string text, int element, Axes module)
    {
        string[] shapes = text.Split(']', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (shapes.Length == 0) return Models.Axes.Unknown;
        string[] dimensions = shapes[Math.Min(element, shapes.Length - 1)].TrimStart('[', ' ').Split(',', StringSplitOptions.TrimEntries);
        if (dimensions[0] == "...") return module;
        if (dimensions[0].StartsWith('?')) return Models.Axes.Unknown;
        int flat = Array.FindIndex(dimensions, d => d is "rows · tokens" or "rows·tokens");
        if (flat >= 0 && !dimensions.Where((_, i) => i != flat).Any(Mixes) && !dimensions.Any(s_words.Contains)) return new Axes(flat, flat);
        int[] at = [.. s_words.Select(word => Array.IndexOf(dimensions, word))];
        return dimensions.Any(Mixes) || at[0] < 0 ? Models.Axes.Unknown : new Axes(at[0], at[1], at[2]);

        static bool Mixes(string dimension) => !s_words.Contains(dimension)
            && dimension.Split([' ', '·', '/', '+', '-', '*', '('], StringSplitOptions.RemoveEmptyEntries).Any(s_words.Contains);
    }
}
