using System.Globalization;
using System.Text;
using System.Xml;

namespace Ndif.Drawing;

/// <summary>Text and numbers as they stand in SVG and HTML.</summary>
internal static class Markup
{
    /// <summary>Text for an element or an attribute. What XML does not allow becomes U+FFFD.</summary>
    public static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (i + 1 < text.Length && char.IsSurrogatePair(c, text[i + 1])) escaped.Append(c).Append(text[++i]);
            else if (c is '&') escaped.Append("&amp;");
            else if (c is '<') escaped.Append("&lt;");
            else if (c is '>') escaped.Append("&gt;");
            else if (c is '"') escaped.Append("&quot;");
            else if (c is '\'') escaped.Append("&#39;");
            else escaped.Append(XmlConvert.IsXmlChar(c) ? c : '\ufffd');
        }
        return escaped.ToString();
    }

    /// <summary>A coordinate in pixels, to a hundredth.</summary>
    public static string Pixels(double value) => Math.Round(value, 2).ToString(CultureInfo.InvariantCulture);

    /// <summary>A number for a reader, with so many significant digits.</summary>
    public static string Number(double value, int digits = 4) => value switch
    {
        double.NaN => "NaN",
        double.PositiveInfinity => "∞",
        double.NegativeInfinity => "−∞",
        _ => value.ToString($"G{digits}", CultureInfo.InvariantCulture).Replace('-', '−'),
    };
}
