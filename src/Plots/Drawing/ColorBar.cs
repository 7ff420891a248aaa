namespace Ndif.Drawing;

/// <summary>The legend of a <see cref="ColorAxis"/>: a bar with numbers.</summary>
internal static class ColorBar
{
    public const double Width = 78;

    private const double Thickness = 14;

    /// <summary>Draws the bar with its lower end below, so that its upper left corner is at a point.</summary>
    /// <param name="name">What the numbers are; may be empty.</param>
    public static void Draw(SvgCanvas canvas, ColorAxis colors, double x, double y, double height, string name)
    {
        const int Steps = 48;
        canvas.Add("<g shape-rendering=\"crispEdges\">");
        for (int i = 0; i < Steps; i++)
            canvas.Rectangle(x, y + (height * i / Steps), Thickness, (height / Steps) + 0.5,
                colors.Map.At(1 - ((i + 0.5) / Steps)).ToString());
        canvas.Add("</g>");
        foreach (double tick in ColorAxis.Ticks(colors.Min, colors.Max, height < 90 ? 2 : 5))
        {
            double at = y + (height * (1 - colors.PositionOf(tick)));
            canvas.Line(x + Thickness, at, x + Thickness + 4, at);
            canvas.Text(x + Thickness + 7, at + 4, Markup.Number(Math.Abs(tick) < (colors.Max - colors.Min) * 1e-9 ? 0 : tick));
        }
        if (name.Length > 0) canvas.Text(x, y - 7, name, isMuted: true);
    }
}
