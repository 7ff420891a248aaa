using System.Text;
using System.Text.Json;

namespace Ndif.Dictionaries.Attribution;

/// <summary>A graph in the JSON of circuit-tracer.</summary>
/// <remarks>circuit_tracer/frontend/graph_models.py, circuit_tracer/utils/create_graph_files.py</remarks>
internal static class GraphJson
{
    public static string Write(PrunedGraph graph, string slug)
    {
        using MemoryStream stream = new();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WritePropertyName("metadata");
            WriteMetadata(json, graph, slug);
            json.WriteStartObject("qParams");
            json.WriteStartArray("pinnedIds");
            json.WriteEndArray();
            json.WriteStartArray("supernodes");
            json.WriteEndArray();
            json.WriteString("linkType", "both");
            json.WriteString("clickedId", "");
            json.WriteString("sg_pos", "");
            json.WriteEndObject();
            json.WriteStartArray("nodes");
            bool isFirstLogit = true;
            for (int i = 0; i < graph.Nodes.Count; i++)
            {
                bool isTarget = graph.Nodes[i].Kind is AttributionNodeKind.Logit && isFirstLogit;
                if (isTarget) isFirstLogit = false;
                WriteNode(json, graph, graph.Nodes[i], graph.Influence[i], isTarget);
            }
            json.WriteEndArray();
            json.WriteStartArray("links");
            foreach (AttributionEdge edge in graph.Edges)
            {
                json.WriteStartObject();
                json.WriteString("source", IdOf(graph, edge.Source));
                json.WriteString("target", IdOf(graph, edge.Target));
                json.WriteNumber("weight", edge.Weight);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    public static void WriteMetadata(Utf8JsonWriter json, PrunedGraph graph, string slug)
    {
        json.WriteStartObject();
        json.WriteString("slug", slug);
        json.WriteString("scan", graph.Graph.Source);
        json.WriteStartArray("transcoder_list");
        json.WriteEndArray();
        json.WriteStartArray("prompt_tokens");
        foreach (string token in graph.Graph.Tokens) json.WriteStringValue(Show(token));
        json.WriteEndArray();
        json.WriteString("prompt", graph.Graph.Prompt);
        json.WriteNumber("node_threshold", graph.NodeThreshold);
        json.WriteNumber("schema_version", 1);
        json.WriteEndObject();
    }

    private static void WriteNode(Utf8JsonWriter json, PrunedGraph graph, AttributionNode node, double influence, bool isTarget)
    {
        string layer = LayerOf(graph, node);
        bool isLogit = node.Kind is AttributionNodeKind.Logit;
        json.WriteStartObject();
        json.WriteString("node_id", IdOf(graph, node));
        json.WriteNumber("feature", node.Kind switch
        {
            AttributionNodeKind.Feature => PairOf(node.Layer, node.Index),
            AttributionNodeKind.Embedding => node.Position,
            _ => node.Index,
        });
        json.WriteString("layer", layer);
        json.WriteNumber("ctx_idx", node.Position);
        json.WriteString("feature_type", node.Kind switch
        {
            AttributionNodeKind.Feature => "cross layer transcoder",
            AttributionNodeKind.Error => "mlp reconstruction error",
            AttributionNodeKind.Embedding => "embedding",
            _ => "logit",
        });
        json.WriteNumber("token_prob", isLogit ? node.Value : 0);
        json.WriteBoolean("is_target_logit", isTarget);
        json.WriteNumber("run_idx", 0);
        json.WriteNumber("reverse_ctx_idx", 0);
        json.WriteString("jsNodeId", node.Kind switch
        {
            AttributionNodeKind.Feature => $"{layer}_{node.Index}-0",
            AttributionNodeKind.Logit => $"L_{node.Index}-{node.Position}",
            _ => $"{layer}_{node.Index}-{node.Position}",
        });
        json.WriteString("clerp", isLogit ? FormattableString.Invariant($"Output \"{Show(node.Text)}\" (p={node.Value:0.000})") : "");
        if (isLogit) json.WriteNull("influence");
        else json.WriteNumber("influence", influence);
        if (node.Kind is AttributionNodeKind.Feature) json.WriteNumber("activation", node.Value);
        else json.WriteNull("activation");
        json.WriteEndObject();
    }

    private static string IdOf(PrunedGraph graph, AttributionNode node) => $"{LayerOf(graph, node)}_{node.Index}_{node.Position}";

    /// <summary>Logits are above a layer that they leave free.</summary>
    private static string LayerOf(PrunedGraph graph, AttributionNode node) => node.Kind switch
    {
        AttributionNodeKind.Embedding => "E",
        AttributionNodeKind.Logit => FormattableString.Invariant($"{graph.Graph.Layers + 1}"),
        _ => FormattableString.Invariant($"{node.Layer}"),
    };

    /// <summary>Cantor's pairing: one number for a layer and a feature.</summary>
    private static long PairOf(long layer, long feature) => (layer + feature) * (layer + feature + 1) / 2 + feature;

    private static string Show(string token) => token.Replace("\n", "⏎", StringComparison.Ordinal)
        .Replace("\t", "→", StringComparison.Ordinal).Replace("\r", "↵", StringComparison.Ordinal);
}
