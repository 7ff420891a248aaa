using System.Text;
using Ndif.Drawing;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// A picture: SVG for papers, HTML for browsers and notebooks, CSV for other programs. Nothing in it is loaded from a network, and no
/// script runs. <see cref="Plots"/> makes them.
/// </summary>
[TypeFormatterSource(typeof(FigureFormatterSource), PreferredMimeTypes = ["text/html"])]
public sealed class Figure
{
    private readonly Lazy<string> _svg;
    private readonly Lazy<string>? _body;
    private readonly DataTable _table;

    /// <param name="title">The title; may be empty.</param>
    /// <param name="description">What the picture shows, for readers who do not see it.</param>
    /// <param name="svg">Draws the picture as an SVG document without an XML declaration.</param>
    /// <param name="table">The numbers of the picture.</param>
    /// <param name="body">The picture as HTML, where it is not the SVG: running text.</param>
    internal Figure(string title, string description, Func<string> svg, DataTable table, Func<string>? body = null)
    {
        (Title, Description, _table) = (title, description, table);
        _svg = new Lazy<string>(svg);
        _body = body is null ? null : new Lazy<string>(body);
    }

    /// <summary>The title; may be empty.</summary>
    public string Title { get; }

    /// <summary>One or two sentences that say what the picture shows. Screen readers read them in place of the picture.</summary>
    public string Description { get; }

    /// <summary>The picture as an SVG document on white ground, with the values as tooltips of its parts.</summary>
    public string ToSvg() => _svg.Value;

    /// <summary>
    /// The picture as a page of its own: values on hover, the numbers as a table below, light or dark as the reader's system.
    /// </summary>
    public string ToHtml() => FigurePage.Page(Title, ToHtmlFragment());

    /// <summary>
    /// The picture as one <c>figure</c> element with its style, for a page or a notebook. It is light or dark as the page's
    /// <c>color-scheme</c> says.
    /// </summary>
    public string ToHtmlFragment() => FigurePage.Fragment(Title, _body?.Value ?? ToSvg(), _table, isText: _body is not null);

    /// <summary>The numbers with a header line, one value a line, in RFC 4180's format. Numbers are written as in C, and NaN as NaN.</summary>
    public string ToCsv() => _table.ToCsv();

    /// <summary>Writes the picture in the format of the extension: <c>.html</c>, <c>.svg</c> or <c>.csv</c>, as UTF-8.</summary>
    /// <param name="path">The file; an existing one is replaced.</param>
    /// <exception cref="BadProgramException">UNSUPPORTED: another extension.</exception>
    public void Save(string path)
    {
        string extension = Path.GetExtension(path).ToLowerInvariant();
        string text = extension switch
        {
            ".html" or ".htm" => ToHtml(),
            ".svg" => ToSvg(),
            ".csv" => ToCsv(),
            ".png" or ".jpg" or ".jpeg" or ".pdf" => throw Errors.CreateException(ErrorCode.Unsupported,
                $"A figure is not saved as {extension}: `{path}`.",
                "Save it as .svg and convert that with a browser, rsvg-convert or Inkscape."),
            _ => throw Errors.CreateException(ErrorCode.Unsupported,
                $"A figure cannot be saved as `{path}`: the extension names no format.", "Use .html, .svg or .csv."),
        };
        File.WriteAllText(path, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }

    /// <summary>The title and the description.</summary>
    public override string ToString() => Title.Length == 0 ? Description : $"{Title}: {Description}";
}
