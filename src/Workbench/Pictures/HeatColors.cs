using System.Globalization;
using System.Text;

namespace Ndif.Workbench.Pictures;

/// <summary>
/// The colors of heat maps in 20 steps, from the color of the page for 0 to a full one for 1 (green) and for -1 (orange). Text on them is
/// black or white, whichever has the higher contrast, which is at least 4.5:1 (WCAG 2.2, success criterion 1.4.3).
/// </summary>
internal static class HeatColors
{
    private const int Steps = 20;

    private static readonly (int R, int G, int B) _lightPage = (255, 255, 255), _darkPage = (28, 33, 32),
        _lightPositive = (11, 93, 75), _darkPositive = (127, 209, 185), _lightNegative = (168, 51, 15), _darkNegative = (255, 176, 150);

    /// <summary>The CSS class of a number: "h0" to "h20", "m1" to "m20" for negative ones.</summary>
    public static string GetClass(double value)
    {
        int step = (int)Math.Round(Math.Clamp(double.IsNaN(value) ? 0 : value, -1, 1) * Steps);
        return step < 0 ? $"m{-step}" : $"h{step}";
    }

    /// <summary>The color of a number on a white page, and the color of text on it, as #rrggbb.</summary>
    public static (string Color, string Text) GetColors(double value)
    {
        double strength = Math.Clamp(double.IsNaN(value) ? 0 : value, -1, 1);
        var color = Mix(_lightPage, strength < 0 ? _lightNegative : _lightPositive, Math.Abs(strength));
        return (Format(color), GetTextColor(color));
    }

    /// <summary>The style rules of the classes, for a light and a dark page.</summary>
    public static string CreateStyles()
    {
        var css = new StringBuilder("\n");
        Append(css, _lightPage, _lightPositive, _lightNegative);
        css.Append("@media (prefers-color-scheme: dark) {\n");
        Append(css, _darkPage, _darkPositive, _darkNegative);
        return css.Append("}\n").ToString();
    }

    private static void Append(StringBuilder css, (int, int, int) page, (int, int, int) positive, (int, int, int) negative)
    {
        for (int step = 0; step <= Steps; step++)
        {
            foreach ((string name, var full) in new[] { ("h", positive), ("m", negative) })
            {
                var color = Mix(page, full, (double)step / Steps);
                string rule = $"background: {Format(color)}; color: {GetTextColor(color)};";
                css.Append(CultureInfo.InvariantCulture, $".{name}{step} {{ {rule} }}\n");
            }
        }
    }

    private static (int R, int G, int B) Mix((int R, int G, int B) from, (int R, int G, int B) to, double share) =>
        (Mix(from.R, to.R, share), Mix(from.G, to.G, share), Mix(from.B, to.B, share));

    private static int Mix(int from, int to, double share) => (int)Math.Round(from + ((to - from) * share));

    private static string Format((int R, int G, int B) color) => $"#{color.R:x2}{color.G:x2}{color.B:x2}";

    /// <summary>Black where the luminance of WCAG is above 0.179, at which both have the same contrast; else white.</summary>
    private static string GetTextColor((int R, int G, int B) color) =>
        (0.2126 * Linearize(color.R)) + (0.7152 * Linearize(color.G)) + (0.0722 * Linearize(color.B)) > 0.179 ? "#000000" : "#ffffff";

    private static double Linearize(int channel)
    {
        double value = channel / 255.0;
        return value <= 0.04045 ? value / 12.92 : Math.Pow((value + 0.055) / 1.055, 2.4);
    }
}
