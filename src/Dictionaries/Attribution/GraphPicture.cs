using System.Globalization;
using System.Net;
using System.Text;

namespace Ndif.Dictionaries.Attribution;

/// <summary>Draws a graph: a column for each position, a row for each layer, embeddings at the bottom and logits at the top.</summary>
internal static class GraphPicture
{
    private const int Column = 130, Row = 60, Left = 70, Top = 30, Inset = 14;

    public static string Draw(PrunedGraph graph)
    {
        int positions = graph.Graph.Tokens.Count, rows = graph.Graph.Layers + 2;
        int width = Left + Column * positions, height = Top + Row * rows + 30;
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' ")
            .Append("font-family='sans-serif' font-size='12' text-anchor='middle' role='img'>\n")
            .Append(CultureInfo.InvariantCulture, $"<title>{Encode($"Attribution graph of \"{graph.Graph.Prompt}\"")}</title>\n")
            .Append(CultureInfo.InvariantCulture, $"<rect width='{width}' height='{height}' fill='white'/>\n");
        for (int row = 0; row < rows; row++)
        {
            string label = row == 0 ? "embedding" : row == rows - 1 ? "logits" : $"layer {row - 1}";
            svg.Append(CultureInfo.InvariantCulture, $"<text x='{Left / 2}' y='{YOf(rows, row) + 4}' fill='#555'>{label}</text>\n");
        }
        Dictionary<AttributionNode, (double X, double Y)> places = Place(graph, rows);
        DrawEdges(svg, graph, places);
        foreach (AttributionNode node in graph.Nodes) DrawNode(svg, graph, node, places[node]);
        for (int position = 0; position < positions; position++)
            svg.Append(CultureInfo.InvariantCulture, $"<text x='{Left + Column * position + Column / 2}' y='{height - 10}' ")
                .Append(CultureInfo.InvariantCulture, $"font-weight='bold'>{Encode(graph.Graph.Tokens[position])}</text>\n");
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>The nodes of one layer and position share its cell.</summary>
    private static Dictionary<AttributionNode, (double X, double Y)> Place(PrunedGraph graph, int rows)
    {
        Dictionary<AttributionNode, (double, double)> places = [];
        foreach (var cell in graph.Nodes.GroupBy(node => (node.Position, Row: RowOf(node))))
        {
            AttributionNode[] nodes = [.. cell];
            double step = (Column - 2.0 * Inset) / nodes.Length;
            for (int i = 0; i < nodes.Length; i++)
                places[nodes[i]] = (Left + Column * cell.Key.Position + Inset + (i + 0.5) * step, YOf(rows, cell.Key.Row));
        }
        return places;
    }

    private static void DrawEdges(StringBuilder svg, PrunedGraph graph, Dictionary<AttributionNode, (double X, double Y)> places)
    {
        double highest = graph.Edges.Select(edge => Math.Abs(edge.Weight)).DefaultIfEmpty(1).Max();
        foreach (AttributionEdge edge in graph.Edges)
        {
            (double x1, double y1) = places[edge.Source];
            (double x2, double y2) = places[edge.Target];
            double strength = Math.Sqrt(Math.Abs(edge.Weight) / highest);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1='{x1:0.#}' y1='{y1:0.#}' x2='{x2:0.#}' y2='{y2:0.#}' ")
                .Append(CultureInfo.InvariantCulture, $"stroke='{(edge.Weight > 0 ? "#2b6cb0" : "#c53030")}' ")
                .Append(CultureInfo.InvariantCulture, $"stroke-width='{0.3 + 2.5 * strength:0.##}' ")
                .Append(CultureInfo.InvariantCulture, $"stroke-opacity='{0.1 + 0.8 * strength:0.##}'/>\n");
        }
    }

    private static void DrawNode(StringBuilder svg, PrunedGraph graph, AttributionNode node, (double X, double Y) at)
    {
        string title = node.Kind switch
        {
            AttributionNodeKind.Feature => FormattableString.Invariant(
                $"feature {node.Index} of layer {node.Layer}, activation {node.Value:0.###}"),
            AttributionNodeKind.Error => $"error of layer {node.Layer}",
            AttributionNodeKind.Embedding => $"embedding of \"{node.Text}\"",
            _ => FormattableString.Invariant($"logit of \"{node.Text}\", probability {node.Value:0.###}"),
        };
        title += $" at \"{graph.Graph.Tokens[node.Position]}\"";
        svg.Append("<g>").Append(CultureInfo.InvariantCulture, $"<title>{Encode(title)}</title>");
        if (node.Kind is AttributionNodeKind.Feature)
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx='{at.X:0.#}' cy='{at.Y:0.#}' r='5' fill='#fff' stroke='#1a202c'/>");
        else if (node.Kind is AttributionNodeKind.Error)
            svg.Append(CultureInfo.InvariantCulture, $"<path d='M{at.X:0.#} {at.Y - 5:0.#}l5 5l-5 5l-5 -5z' fill='#ddd' stroke='#777'/>");
        else
            svg.Append(CultureInfo.InvariantCulture, $"<rect x='{at.X - 5:0.#}' y='{at.Y - 5:0.#}' width='10' height='10' ")
                .Append("fill='#fefcbf' stroke='#1a202c'/>");
        if (node.Kind is AttributionNodeKind.Logit)
            svg.Append(CultureInfo.InvariantCulture, $"<text x='{at.X:0.#}' y='{at.Y - 10:0.#}'>{Encode(node.Text)}</text>");
        svg.Append("</g>\n");
    }

    private static int RowOf(AttributionNode node) => node.Layer + 1; // embeddings are in layer -1

    private static double YOf(int rows, int row) => Top + Row * (rows - 1 - row) + Row / 2;

    /// <summary>XML has no control characters.</summary>
    private static string Encode(string text) => WebUtility.HtmlEncode(string.Concat(text.Select(c => char.IsControl(c) ? '·' : c)));
}
