using System.Text;

namespace Ndif.Drawing;

/// <summary>
/// An SVG document under construction. Colours are attributes, which every program reads; classes let a page replace those of text, lines
/// and paper in the dark (FigurePage).
/// </summary>
internal sealed class SvgCanvas
{
    public const double FontSize = 12, TitleSize = 15;

    private const string Font = "font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\"";

    private readonly StringBuilder _body = new();

    /// <summary>Text.</summary>
    /// <param name="anchor"><c>start</c>, <c>middle</c> or <c>end</c>.</param>
    /// <param name="fill">A fixed colour, for text on a coloured cell; null for that of the page.</param>
    /// <param name="rotate">Degrees clockwise around the position.</param>
    public void Text(double x, double y, string text, string anchor = "start", double size = FontSize, string? fill = null,
        bool isMuted = false, bool isBold = false, double rotate = 0, string? tooltip = null)
    {
        string position = rotate == 0 ? $"x=\"{Px(x)}\" y=\"{Px(y)}\"" : $"transform=\"translate({Px(x)} {Px(y)}) rotate({Px(rotate)})\"";
        _body.Append($"<text {position}");
        if (anchor != "start") _body.Append($" text-anchor=\"{anchor}\"");
        if (size != FontSize) _body.Append($" font-size=\"{Px(size)}\"");
        if (isBold) _body.Append(" font-weight=\"600\"");
        _body.Append(fill is not null ? $" fill=\"{fill}\"" : isMuted ? " class=\"muted\" fill=\"#59636e\"" : " class=\"ink\" fill=\"#1f2328\"");
        _body.Append($">{Markup.Escape(text)}{TitleOf(tooltip)}</text>\n");
    }

    /// <summary>A filled rectangle.</summary>
    public void Rectangle(double x, double y, double width, double height, string fill, string? tooltip = null, string attributes = "") =>
        _body.Append($"<rect x=\"{Px(x)}\" y=\"{Px(y)}\" width=\"{Px(width)}\" height=\"{Px(height)}\" fill=\"{fill}\"{attributes}")
            .Append(tooltip is null ? "/>\n" : $">{TitleOf(tooltip)}</rect>\n");

    /// <summary>A line of an axis or a grid.</summary>
    public void Line(double x1, double y1, double x2, double y2, bool isGrid = false) =>
        _body.Append($"<path d=\"M{Px(x1)} {Px(y1)}L{Px(x2)} {Px(y2)}\" fill=\"none\" ")
            .Append(isGrid ? "class=\"grid\" stroke=\"#d8dee4\"/>\n" : "class=\"axis\" stroke=\"#59636e\"/>\n");

    /// <summary>Any other element, well-formed.</summary>
    public void Add(string markup) => _body.Append(markup).Append('\n');

    /// <summary>The document.</summary>
    /// <param name="label">What a screen reader reads in place of the picture.</param>
    public string ToDocument(double width, double height, string label)
    {
        string style = $"width:100%;max-width:{Px(width)}px;min-width:{Px(Math.Min(width, Math.Max(480, 0.7 * width)))}px;height:auto";
        return $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Px(width)} {Px(height)}\" width=\"{Px(width)}\" "
            + $"height=\"{Px(height)}\" style=\"{style}\" role=\"img\" aria-label=\"{Markup.Escape(label)}\" {Font} "
            + $"font-size=\"{Px(FontSize)}\">\n<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{_body}</svg>\n";
    }

    private static string Px(double value) => Markup.Pixels(value);

    private static string TitleOf(string? tooltip) => tooltip is null ? "" : $"<title>{Markup.Escape(tooltip)}</title>";
}
