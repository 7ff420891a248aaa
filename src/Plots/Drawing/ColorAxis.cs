namespace Ndif.Drawing;

/// <summary>The colours of a set of numbers: a map and the numbers at its two ends.</summary>
internal sealed record ColorAxis(Colormap Map, double Min, double Max)
{
    /// <summary>An axis over the finite ones of these numbers.</summary>
    /// <param name="range">The numbers at the ends, in place of the smallest and largest.</param>
    /// <param name="sequential">The map of a sequential scale.</param>
    public static ColorAxis For(double[] values, ColorScale scale, (double Min, double Max)? range = null, Colormap? sequential = null)
    {
        (double min, double max) = range ?? FiniteRange(values);
        if (!(min <= max) || !double.IsFinite(max - min))
            throw new ArgumentException($"The range of a colour scale goes from a finite number to a larger one, not from {min} to {max}.");
        bool isDiverging = scale == ColorScale.Diverging || (scale == ColorScale.Auto && min < 0 && max > 0);
        if (isDiverging && Math.Max(-min, max) is var end) (min, max) = (-end, end);
        if (min == max) (min, max) = isDiverging ? (-1, 1) : min == 0 ? (0, 1) : (min - Math.Abs(min / 2), max + Math.Abs(max / 2));
        return new ColorAxis(isDiverging ? Colormap.RedBlue : sequential ?? Colormap.Viridis, min, max);
    }

    /// <summary>The smallest and largest finite number; 0 and 0 if there is none.</summary>
    public static (double Min, double Max) FiniteRange(double[] values)
    {
        (double min, double max) = (double.PositiveInfinity, double.NegativeInfinity);
        foreach (double value in values)
            if (double.IsFinite(value)) (min, max) = (Math.Min(min, value), Math.Max(max, value));
        return min > max ? (0, 0) : (min, max);
    }

    public Rgb ColorOf(double value) => double.IsNaN(value) ? Rgb.Missing : Map.At(PositionOf(value));

    /// <summary>Where a number is on the axis: 0 at its lower end, 1 at its upper end and beyond.</summary>
    public double PositionOf(double value) => value switch
    {
        double.PositiveInfinity => 1,
        double.NegativeInfinity => 0,
        _ => Math.Clamp((value - Min) / (Max - Min), 0, 1),
    };

    /// <summary>Round numbers for the labels of an axis, about <paramref name="count"/> of them.</summary>
    public static IEnumerable<double> Ticks(double min, double max, int count = 5)
    {
        double rough = (max - min) / count;
        double power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = power * ((rough / power) switch { < 1.5 => 1, < 3.5 => 2, < 7.5 => 5, _ => 10 });
        for (double i = Math.Ceiling((min / step) - 1e-9); i <= (max / step) + 1e-9; i++) yield return i == 0 ? 0 : i * step; // not minus zero
    }
}
