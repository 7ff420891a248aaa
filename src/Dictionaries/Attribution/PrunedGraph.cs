namespace Ndif.Dictionaries.Attribution;

/// <summary>The part of an attribution graph that has most of the influence on the logits.</summary>
public sealed class PrunedGraph
{
    internal PrunedGraph(AttributionGraph graph, double nodeThreshold, IReadOnlyList<AttributionNode> nodes,
        IReadOnlyList<double> influence, IReadOnlyList<AttributionEdge> edges) =>
        (Graph, NodeThreshold, Nodes, Influence, Edges) = (graph, nodeThreshold, nodes, influence, edges);

    /// <summary>The whole graph.</summary>
    public AttributionGraph Graph { get; }

    /// <summary>The fraction of the influence by which the nodes were chosen.</summary>
    public double NodeThreshold { get; }

    /// <summary>The nodes that stay. Embeddings and logits always do.</summary>
    public IReadOnlyList<AttributionNode> Nodes { get; }

    /// <summary>For each node, the fraction of the influence that it has together with the nodes that have more.</summary>
    public IReadOnlyList<double> Influence { get; }

    /// <summary>The edges that stay.</summary>
    public IReadOnlyList<AttributionEdge> Edges { get; }

    /// <summary>The graph as JSON in the format that circuit-tracer's front end and Neuronpedia read.</summary>
    /// <param name="slug">The name of the graph there.</param>
    /// <remarks>circuit_tracer/frontend/graph_models.py</remarks>
    public string ToJson(string slug) => GraphJson.Write(this, slug);

    /// <summary>
    /// Writes the graph as {slug}.json, and lists it in graph-metadata.json: the folder is what circuit-tracer's server takes as its data.
    /// </summary>
    /// <exception cref="ArgumentException">The name is empty, or is not one of a file.</exception>
    public void WriteFiles(string folder, string slug) => GraphFiles.Write(this, folder, slug);

    /// <summary>The graph as a picture: positions from left to right, layers from bottom to top.</summary>
    public string ToSvg() => GraphPicture.Draw(this);
}
