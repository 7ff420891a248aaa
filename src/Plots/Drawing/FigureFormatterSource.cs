namespace Ndif.Drawing;

/// <summary>The formatters of <see cref="Figure"/> for notebooks.</summary>
internal sealed class FigureFormatterSource
{
    public IEnumerable<object> CreateTypeFormatters()
    {
        yield return new NotebookFormatter<Figure>("text/html", figure => figure.ToHtmlFragment());
        yield return new NotebookFormatter<Figure>("image/svg+xml", figure => figure.ToSvg());
        yield return new NotebookFormatter<Figure>("text/plain", figure => figure.ToString());
    }
}
