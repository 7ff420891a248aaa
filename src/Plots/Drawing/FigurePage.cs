namespace Ndif.Drawing;

/// <summary>The HTML around a picture. It is well-formed XML, has no script, and its policy forbids to load anything.</summary>
internal static class FigurePage
{
    // light-dark() follows the color-scheme of the page; browsers without it (before 2024) keep the colours of the SVG's attributes
    private const string Style = """
        .ndif-figure{margin:0;padding:.75rem;color:#1f2328;background:#fff;color:light-dark(#1f2328,#e6edf3);
        background:light-dark(#fff,#16191d);font:14px/1.5 system-ui,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif}
        .ndif-figure .scroll{overflow-x:auto;max-width:100%}
        .ndif-figure svg{display:block}
        .ndif-figure .ink{fill:light-dark(#1f2328,#e6edf3)}
        .ndif-figure .muted{fill:light-dark(#59636e,#9da7b3)}
        .ndif-figure .paper{fill:light-dark(#fff,#16191d)}
        .ndif-figure .axis{stroke:light-dark(#59636e,#9da7b3)}
        .ndif-figure .grid{stroke:light-dark(#d8dee4,#343b43)}
        .ndif-figure .cells rect:hover{stroke:#f0f;stroke-width:2}
        .ndif-figure figcaption{font-weight:600;font-size:15px;margin-bottom:.5rem}
        .ndif-figure .tokens{line-height:2;overflow-wrap:anywhere;margin:.25rem 0}
        .ndif-figure .tokens span{padding:.2em .15em;border-radius:3px;white-space:pre-wrap}
        .ndif-figure .numbered span{display:inline-block;line-height:1.25;vertical-align:top;margin:1px;text-align:center}
        .ndif-figure small{display:block;font-size:11px;line-height:1.1}
        .ndif-figure .note{color:light-dark(#59636e,#9da7b3);margin:.25rem 0}
        .ndif-figure details{margin:.5rem 14px 0}
        .ndif-figure details .scroll{max-height:20rem;overflow-y:auto}
        .ndif-figure table{border-collapse:collapse;font-size:13px}
        .ndif-figure th,.ndif-figure td{text-align:left;padding:.1rem .75rem .1rem 0;font-variant-numeric:tabular-nums}
        """;

    /// <param name="content">The picture: an SVG document, or HTML.</param>
    /// <param name="isText">True where the content is running text, which needs no scrolling.</param>
    public static string Fragment(string title, string content, DataTable table, bool isText)
    {
        string name = Markup.Escape(title.Length == 0 ? "Figure" : title);
        string picture = isText ? content : $"<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{name}\">\n{content}</div>";
        return $"<figure class=\"ndif-figure\">\n<style>{Style}</style>\n{picture}\n{table.ToHtml()}\n</figure>\n";
    }

    public static string Page(string title, string fragment) => $$"""
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>
        <title>{{Markup.Escape(title.Length == 0 ? "Figure" : title)}}</title>
        <style>:root{color-scheme:light dark}body{margin:0}</style>
        </head>
        <body><main>
        {{fragment}}</main></body>
        </html>

        """;
}
