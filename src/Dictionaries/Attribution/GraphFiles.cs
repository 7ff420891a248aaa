using System.Text.Json;
using Ndif.Protocol;

namespace Ndif.Dictionaries.Attribution;

/// <summary>The folder of graphs that circuit-tracer's server shows.</summary>
/// <remarks>add_graph_metadata in circuit_tracer/frontend/utils.py</remarks>
internal static class GraphFiles
{
    private const string ListFile = "graph-metadata.json";

    public static void Write(PrunedGraph graph, string folder, string slug)
    {
        if (slug.Length == 0 || slug != Path.GetFileName(slug) || slug.IndexOfAny(Path.GetInvalidFileNameChars()) >= 0 || slug[0] == '.')
            throw new ArgumentException($"`{slug}` is not a name of a file.", nameof(slug));
        Directory.CreateDirectory(folder);
        string list = Path.Combine(folder, ListFile);
        using MemoryStream stream = new();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteStartArray("graphs");
            WriteOthers(json, list, slug);
            GraphJson.WriteMetadata(json, graph, slug);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        File.WriteAllText(Path.Combine(folder, $"{slug}.json"), graph.ToJson(slug));
        File.WriteAllBytes(list, stream.ToArray());
    }

    /// <summary>The graphs that are listed already, without one of the same name.</summary>
    private static void WriteOthers(Utf8JsonWriter json, string list, string slug)
    {
        if (!File.Exists(list)) return;
        try
        {
            using JsonDocument known = JsonDocument.Parse(File.ReadAllBytes(list));
            foreach (JsonElement other in known.RootElement.GetProperty("graphs").EnumerateArray())
                if (other.GetProperty("slug").GetString() != slug) other.WriteTo(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw Errors.CreateException(ErrorCode.CorruptData, $"{list} is not a list of graphs: {e.Message}",
                "Remove it, or write the graph into another folder.", inner: e);
        }
    }
}
