namespace Ndif.Drawing;

/// <summary>
/// Tells a .NET notebook how to display a type. Notebooks find this attribute by its name and read it by reflection
/// (Microsoft.DotNet.Interactive.Formatting, docs/formatting.md), so that no package of theirs is referenced.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class TypeFormatterSourceAttribute(Type formatterSourceType) : Attribute
{
    public Type FormatterSourceType { get; } = formatterSourceType;

    public string[] PreferredMimeTypes { get; set; } = [];
}

/// <summary>The formatters of <see cref="Figure"/> for notebooks.</summary>
internal sealed class FigureFormatterSource
{
    public IEnumerable<object> CreateTypeFormatters()
    {
        yield return new FigureFormatter("text/html", figure => figure.ToHtmlFragment());
        yield return new FigureFormatter("image/svg+xml", figure => figure.ToSvg());
        yield return new FigureFormatter("text/plain", figure => figure.ToString());
    }
}

/// <summary>One format; the names and signatures of the members are those that notebooks look for.</summary>
internal sealed class FigureFormatter(string mimeType, Func<Figure, string> format)
{
    public string MimeType { get; } = mimeType;

    public bool Format(object instance, TextWriter writer)
    {
        if (instance is not Figure figure) return false;
        writer.Write(format(figure));
        return true;
    }
}
