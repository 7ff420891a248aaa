using System.Text;

namespace Ndif.Drawing;

/// <summary>A token of a coloured text.</summary>
/// <param name="Text">Its visible text.</param>
/// <param name="Score">Its number; null for a token without one.</param>
/// <param name="Position">Its number in the text.</param>
/// <param name="EndsLine">True where the next token begins a new line.</param>
internal sealed record ScoredToken(string Text, double? Score, int Position, bool EndsLine);

/// <summary>Running text in which each token has a ground of the colour of its number: as HTML that flows, and as SVG.</summary>
internal sealed class TokenText
{
    private const double FontSize = 14, LineWidth = 720, Margin = 14, Padding = 3;

    public required IReadOnlyList<ScoredToken> Tokens { get; init; }

    public required ColorAxis Colors { get; init; }

    /// <summary>True to write the number below the token.</summary>
    public required bool ShowsNumbers { get; init; }

    public required string ValueName { get; init; }

    public required string Note { get; init; }

    public string ToHtml(string title)
    {
        var html = new StringBuilder();
        if (title.Length > 0) html.Append($"<figcaption>{Markup.Escape(title)}</figcaption>\n");
        html.Append($"<p class=\"tokens{(ShowsNumbers ? " numbered" : "")}\">");
        foreach (ScoredToken token in Tokens)
        {
            string style = token.Score is { } score && Colors.ColorOf(score) is var color ? $" style=\"background:{color};color:{color.Ink}\"" : "";
            html.Append($"<span title=\"{Markup.Escape(TooltipOf(token))}\"{style}>{Markup.Escape(token.Text)}");
            if (ShowsNumbers && token.Score is { } number) html.Append($"<small>{Markup.Number(number, 2)}</small>");
            html.Append(token.EndsLine ? "</span><br/>" : "</span><wbr/>");
        }
        html.Append("</p>\n");
        var legend = new SvgCanvas();
        ColorBar.DrawHorizontally(legend, Colors, 1, 16, ValueName);
        html.Append(legend.ToDocument(ColorBar.Length + 40, 52, LegendLabel));
        if (Note.Length > 0) html.Append($"<p class=\"note\">{Markup.Escape(Note)}</p>\n");
        return html.ToString();
    }

    public string ToSvg(string title, string label)
    {
        var canvas = new SvgCanvas();
        double lineHeight = ShowsNumbers ? 44 : 28, height = 22, x = Margin, y = Margin;
        if (title.Length > 0)
        {
            canvas.Text(Margin, Margin + SvgCanvas.TitleSize, title, size: SvgCanvas.TitleSize, isBold: true);
            y += 30;
        }
        foreach (ScoredToken token in Tokens)
        {
            string text = Label.Fit(token.Text, LineWidth - (2 * Padding), FontSize);
            string number = ShowsNumbers && token.Score is { } score ? Markup.Number(score, 2) : "";
            double width = Math.Max(Label.Width(text, FontSize), Label.Width(number, 11)) + (2 * Padding);
            if (x > Margin && x + width > Margin + LineWidth) (x, y) = (Margin, y + lineHeight);
            Rgb? color = token.Score is { } value ? Colors.ColorOf(value) : null;
            canvas.Rectangle(x, y, width, height, color?.ToString() ?? "none", TooltipOf(token), " rx=\"3\" pointer-events=\"all\"");
            string fill = color is { } ground ? $"fill=\"{ground.Ink}\"" : "class=\"ink\" fill=\"#1f2328\"";
            canvas.Add($"<text x=\"{Markup.Pixels(x + (width / 2))}\" y=\"{Markup.Pixels(y + 16)}\" text-anchor=\"middle\" "
                + $"font-size=\"{Markup.Pixels(FontSize)}\" {fill} pointer-events=\"none\">{Markup.Escape(text)}</text>");
            if (number.Length > 0) canvas.Text(x + (width / 2), y + height + 12, number, "middle", size: 11, isMuted: true);
            x += width + 1;
            if (token.EndsLine) (x, y) = (Margin, y + lineHeight);
        }
        y += lineHeight + 22;
        ColorBar.DrawHorizontally(canvas, Colors, Margin, y, ValueName);
        if (Note.Length > 0) canvas.Text(Margin + ColorBar.Length + 40, y + 11, Note, isMuted: true);
        return canvas.ToDocument(LineWidth + (2 * Margin), y + 46, label);
    }

    private string LegendLabel =>
        $"Colours of {ValueName} from {Markup.Number(Colors.Min)} to {Markup.Number(Colors.Max)}";

    private string TooltipOf(ScoredToken token) => token.Score is { } score
        ? $"{token.Position} {token.Text}: {ValueName} {Markup.Number(score, 6)}" : $"{token.Position} {token.Text}";
}
