using System.Globalization;
using System.Net;
using System.Text;

namespace Ndif.Dictionaries.Dashboards;

/// <summary>Dashboards as one HTML page without scripts and without other files.</summary>
internal static class DashboardPage
{
    private const string Style = """
        body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem }
        body { color: #1b1b1b; background: #fff }
        section { border-top: 1px solid #bbb; padding: .5rem 0 1rem }
        .columns { display: flex; flex-wrap: wrap; gap: 1rem 2rem }
        table { border-collapse: collapse } td { padding: 0 .75rem 0 0; white-space: pre }
        .example { white-space: pre-wrap; overflow-wrap: anywhere; margin: .25rem 0 } .number { color: #555; margin-right: .5rem }
        """;

    public static string Write(FeatureDashboards dashboards)
    {
        var html = new StringBuilder("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .Append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
            .Append(CultureInfo.InvariantCulture, $"<title>Features of {Encode(dashboards.Name)}</title>\n<style>{Style}</style>\n")
            .Append(CultureInfo.InvariantCulture, $"</head>\n<body>\n<h1>Features of {Encode(dashboards.Name)}</h1>\n")
            .Append(CultureInfo.InvariantCulture, $"<p>{dashboards.Tokens:N0} tokens. ")
            .Append("Logit effects are those of the decoder's direction through the weight of the final norm and the head, ")
            .Append("without the scale of the norm.</p>\n");
        foreach (FeatureDashboard feature in dashboards.Features) Write(html, feature);
        return html.Append("</body>\n</html>\n").ToString();
    }

    private static void Write(StringBuilder html, FeatureDashboard feature)
    {
        html.Append(CultureInfo.InvariantCulture, $"<section id=\"feature-{feature.Feature}\">\n<h2>Feature {feature.Feature}</h2>\n")
            .Append(CultureInfo.InvariantCulture, $"<p>Active at {feature.Density:P2} of the tokens, ")
            .Append(CultureInfo.InvariantCulture, $"at most {feature.MaxActivation:0.###}.</p>\n")
            .Append("<div class=\"columns\">\n");
        WriteHistogram(html, feature.Histogram);
        WriteLogits(html, "Raised logits", feature.Raised);
        WriteLogits(html, "Lowered logits", feature.Lowered);
        html.Append("</div>\n");
        foreach (ActivationExample example in feature.Examples) Write(html, example, feature.MaxActivation);
        html.Append("</section>\n");
    }

    private static void WriteHistogram(StringBuilder html, ActivationHistogram histogram)
    {
        const int Height = 60, BarWidth = 6;
        double highest = Math.Max(1, histogram.Counts.Max());
        html.Append(CultureInfo.InvariantCulture, $"<svg width=\"{BarWidth * histogram.Counts.Count}\" height=\"{Height}\" ")
            .Append("role=\"img\" aria-label=\"Histogram of activations\">");
        for (int bin = 0; bin < histogram.Counts.Count; bin++)
        {
            double height = histogram.Counts[bin] / highest * Height;
            if (height == 0) continue;
            html.Append(CultureInfo.InvariantCulture, $"<rect x=\"{bin * BarWidth}\" y=\"{Height - height:0.##}\" ")
                .Append(CultureInfo.InvariantCulture, $"width=\"{BarWidth - 1}\" height=\"{height:0.##}\" fill=\"#2b6cb0\">")
                .Append(CultureInfo.InvariantCulture, $"<title>{bin * histogram.Width:0.###} to {(bin + 1) * histogram.Width:0.###}: ")
                .Append(CultureInfo.InvariantCulture, $"{histogram.Counts[bin]}</title></rect>");
        }
        html.Append("</svg>\n");
    }

    private static void WriteLogits(StringBuilder html, string title, IReadOnlyList<TokenLogit> logits)
    {
        if (logits.Count == 0) return;
        html.Append(CultureInfo.InvariantCulture, $"<table><caption>{title}</caption>");
        foreach (TokenLogit logit in logits)
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Encode(logit.Token)}</td><td>{logit.Effect:+0.000;-0.000}</td></tr>");
        html.Append("</table>\n");
    }

    private static void Write(StringBuilder html, ActivationExample example, double highest)
    {
        html.Append(CultureInfo.InvariantCulture, $"<p class=\"example\"><span class=\"number\">{example.Activation:0.###}</span>");
        for (int i = 0; i < example.Tokens.Count; i++)
        {
            double shade = Math.Clamp(example.Activations[i] / highest, 0, 1);
            string token = Encode(example.Tokens[i]);
            if (shade == 0) html.Append(token);
            else html.Append(CultureInfo.InvariantCulture, $"<mark style=\"background: rgba(255, 160, 0, {shade:0.##})\" ")
                .Append(CultureInfo.InvariantCulture, $"title=\"{example.Activations[i]:0.###}\">{token}</mark>");
        }
        html.Append("</p>\n");
    }

    private static string Encode(string text) => WebUtility.HtmlEncode(text.Replace("\n", "⏎", StringComparison.Ordinal));
}
