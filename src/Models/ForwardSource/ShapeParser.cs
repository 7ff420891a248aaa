namespace Ndif.Models.ForwardSource;

/// <summary>Reads a symbolic shape and returns the dimensions by which the view of an invoke is sliced.</summary>
internal static class ShapeParser
{
    private static readonly string[] _axisNames = ["batch", "seq", "kvSeq"];

    /// <summary>
    /// Known only if a dimension is exactly "batch" or "batch · seq", and none combines batch, seq or kvSeq with another size
    /// ("batch · kvHeads"), because such a dimension cannot be sliced. A value that begins with "routed" has the tokens of an expert.
    /// In a decoder, "encoderSeq" is the tokens of the encoder.
    /// </summary>
    /// <param name="text">One shape, or one for each element of a tuple; the last also applies to the elements after it.</param>
    /// <param name="module">The axes that "..." represents.</param>
    public static Axes ParseAxes(string text, int element, Axes module)
    {
        string[] shapes = text.Split(']', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (shapes.Length == 0) return Models.Axes.Unknown;
        string[] dimensions = shapes[Math.Min(element, shapes.Length - 1)].TrimStart('[', ' ').Split(',', StringSplitOptions.TrimEntries);
        if (dimensions[0] == "...") return module;
        if (dimensions[0] == "routed") return Models.Axes.Routed;
        if (dimensions[0].StartsWith('?')) return Models.Axes.Unknown;
        int flat = Array.FindIndex(dimensions, d => d is "batch · seq" or "batch·seq");
        if (flat >= 0 && !dimensions.Where((_, i) => i != flat).Any(Mixes) && !dimensions.Any(_axisNames.Contains))
            return new Axes(flat, flat);
        int[] at = [.. _axisNames.Select(word => Array.IndexOf(dimensions, word))];
        if (dimensions.Any(Mixes) || at[0] < 0) return Models.Axes.Unknown;
        int encoder = Array.IndexOf(dimensions, "encoderSeq");
        if (encoder < 0) return new Axes(at[0], at[1], at[2]);
        return at[1] < 0 ? new Axes(at[0], encoder) { IsSeqOfEncoder = true }
            : new Axes(at[0], at[1], encoder) { IsKvSeqOfEncoder = true };

        static bool Mixes(string dimension) => !_axisNames.Contains(dimension)
            && dimension.Split([' ', '·', '/', '+', '-', '*', '('], StringSplitOptions.RemoveEmptyEntries).Any(_axisNames.Contains);
    }
}
