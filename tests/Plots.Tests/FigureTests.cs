using System.Globalization;
using System.Xml;
using System.Xml.Linq;

namespace Ndif.Drawing.Tests;

/// <summary>
/// What holds for a figure of any kind: it is well-formed, says what it shows, loads and runs nothing, and is saved by its extension.
/// </summary>
public sealed class FigureTests
{
    public static TheoryData<string> Names => [.. Gallery.Figures.Keys];

    [Theory, MemberData(nameof(Names))]
    public void SvgAndHtml_AreWellFormed_AndNamed(string name)
    {
        Figure figure = Gallery.Figures[name]();
        XElement svg = XDocument.Parse(figure.ToSvg()).Root!;
        Assert.Equal("img", svg.Attribute("role")!.Value);
        Assert.Contains(figure.Description, svg.Attribute("aria-label")!.Value, StringComparison.Ordinal);
        XElement html = Parse(figure.ToHtml());
        Assert.Equal(figure.Title, html.Descendants("title").First().Value);
        Assert.Equal("en", html.Attribute("lang")!.Value);
        Assert.NotEmpty(figure.Description);
    }

    [Theory, MemberData(nameof(Names))]
    public void SvgAndHtml_LoadNothing_AndRunNothing(string name)
    {
        Figure figure = Gallery.Figures[name]();
        foreach (XElement root in new[] { XDocument.Parse(figure.ToSvg()).Root!, Parse(figure.ToHtml()) })
        {
            Assert.DoesNotContain(root.DescendantsAndSelf(), e => e.Name.LocalName is "script" or "link" or "iframe" or "object" or "use");
            XAttribute[] attributes = [.. root.DescendantsAndSelf().Attributes().Where(a => !a.IsNamespaceDeclaration)];
            Assert.DoesNotContain(attributes, a => a.Name.LocalName.StartsWith("on", StringComparison.Ordinal));
            Assert.DoesNotContain(attributes,
                a => a.Name.LocalName is "src" or "href" && !a.Value.StartsWith("data:", StringComparison.Ordinal));
            Assert.DoesNotContain(root.Descendants().Where(e => e.Name.LocalName == "style"),
                e => e.Value.Contains("url(", StringComparison.Ordinal));
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void EveryToken_CanBeReadOnHover(string name)
    {
        string[] shown = name switch
        {
            "attention-many-heads" => ["23 → 0"], // it has no tokens
            "logit-lens" => ["Paris", "⏎"],
            _ => ["·Eiffel", "⏎", "日本語"],
        };
        string[] tooltips = Tooltips(Gallery.Figures[name]().ToSvg());
        Assert.All(shown, text => Assert.Contains(tooltips, tooltip => tooltip.Contains(text, StringComparison.Ordinal)));
        Assert.NotEmpty(tooltips);
    }

    [Theory, MemberData(nameof(Names))]
    public void AnotherCulture_ChangesNothing(string name)
    {
        string svg = Gallery.Figures[name]().ToSvg(), html = Gallery.Figures[name]().ToHtml(), csv = Gallery.Figures[name]().ToCsv();
        CultureInfo before = CultureInfo.CurrentCulture;
        var german = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        (german.NumberFormat.NumberDecimalSeparator, german.NumberFormat.NegativeSign) = (",", "~");
        CultureInfo.CurrentCulture = german;
        try
        {
            Figure figure = Gallery.Figures[name]();
            Assert.Equal((svg, html, csv), (figure.ToSvg(), figure.ToHtml(), figure.ToCsv()));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void Save_ChoosesTheFormat_ByTheExtension()
    {
        using var folder = new TempFolder();
        Figure figure = Plots.HeatMap(new[,] { { 0.25, double.NaN } }, ["a,b", "\"c\""]);
        figure.Save(folder.File("x.SVG"));
        figure.Save(folder.File("x.html"));
        figure.Save(folder.File("x.csv"));
        Assert.Equal(figure.ToSvg(), File.ReadAllText(folder.File("x.SVG")));
        Assert.Equal(figure.ToHtml(), File.ReadAllText(folder.File("x.html")));
        Assert.Equal("layer,position,token,value\n0,0,\"a,b\",0.25\n0,1,\"\"\"c\"\"\",NaN\n", File.ReadAllText(folder.File("x.csv")));
        string message = Assert.Throws<BadProgramException>(() => figure.Save(folder.File("x.png"))).Message;
        Assert.Contains("rsvg-convert", message, StringComparison.Ordinal);
        Assert.Throws<BadProgramException>(() => figure.Save(folder.File("x")));
        Assert.Equal(3, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void Csv_HasTheNumbers_AsTheyWere()
    {
        Assert.Contains(",0.1\n", Plots.Lines(new[] { 0.1f }).ToCsv(), StringComparison.Ordinal);
        Assert.Contains(",0.10000000149011612\n", Plots.Lines(new[] { (double)0.1f }).ToCsv(), StringComparison.Ordinal);
        Assert.Contains(",-Infinity\n", Plots.Lines(new[] { 1, double.NegativeInfinity }).ToCsv(), StringComparison.Ordinal);
    }

    /// <summary>The tooltips of an SVG document.</summary>
    internal static string[] Tooltips(string svg) =>
        [.. XDocument.Parse(svg).Descendants().Where(e => e.Name.LocalName == "title").Select(e => e.Value)];

    private static XElement Parse(string html)
    {
        using var reader = XmlReader.Create(new StringReader(html), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore });
        return XDocument.Load(reader).Root!;
    }
}
