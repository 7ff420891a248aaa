using System.Globalization;

namespace Ndif.Drawing;

/// <summary>A colour in sRGB.</summary>
internal readonly record struct Rgb(byte R, byte G, byte B)
{
    /// <summary>For cells without a number.</summary>
    public static readonly Rgb Missing = new(0x9a, 0x9f, 0xa6);

    /// <summary>The colour of text that is readable on this one: of black and white the one with the higher contrast.</summary>
    /// <remarks>https://www.w3.org/TR/WCAG21/#dfn-relative-luminance; both contrasts are equal at a luminance of 0.179</remarks>
    public string Ink => Luminance > 0.179 ? "#111" : "#fff";

    private double Luminance => (0.2126 * Linear(R)) + (0.7152 * Linear(G)) + (0.0722 * Linear(B));

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"#{R:x2}{G:x2}{B:x2}");

    private static double Linear(byte channel) =>
        channel / 255.0 is var c && c <= 0.04045 ? c / 12.92 : Math.Pow((c + 0.055) / 1.055, 2.4);
}

/// <summary>Colours for the numbers from 0 to 1, interpolated between stops of equal distance.</summary>
internal sealed class Colormap
{
    private readonly Rgb[] _stops;

    private Colormap(string stops) => _stops =
        [.. stops.Split(' ').Select(s => int.Parse(s, NumberStyles.HexNumber, CultureInfo.InvariantCulture))
            .Select(c => new Rgb((byte)(c >> 16), (byte)(c >> 8), (byte)c))];

    /// <summary>Sequential, equal steps look equal; of matplotlib (van der Walt and Smith, 2015).</summary>
    public static Colormap Viridis { get; } = new("440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 "
        + "7ad151 a5db36 d2e21b fde725");

    /// <summary>Diverging, white in the middle; ColorBrewer's RdBu (Brewer, 2003).</summary>
    public static Colormap RedBlue { get; } = new("67001f b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac 053061");

    /// <summary>Sequential from white, for the ground of running text; ColorBrewer's Blues.</summary>
    public static Colormap Blues { get; } = new("f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b");

    public Rgb At(double position)
    {
        double scaled = Math.Clamp(position, 0, 1) * (_stops.Length - 1);
        int below = Math.Min((int)scaled, _stops.Length - 2);
        double part = scaled - below;
        (Rgb a, Rgb b) = (_stops[below], _stops[below + 1]);
        return new Rgb(Mix(a.R, b.R, part), Mix(a.G, b.G, part), Mix(a.B, b.B, part));
    }

    private static byte Mix(byte a, byte b, double part) => (byte)Math.Round(a + ((b - a) * part));
}
