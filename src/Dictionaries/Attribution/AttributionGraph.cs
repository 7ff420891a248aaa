using Ndif.Protocol;

namespace Ndif.Dictionaries.Attribution;

/// <summary>
/// The attribution graph of one prompt (Ameisen et al., 2025; transformer-circuits.pub/2025/attribution-graphs/methods.html): which
/// features, errors and embeddings produced the likeliest next tokens, through which features. An edge is the direct effect of its source
/// on its target where attention patterns and the scales of norms are held, and feed-forward modules act through their features only.
/// <code>
///   var graph = await AttributionGraph.ComputeAsync(llm, transcoders, "The Eiffel Tower is in the city of");
///   PrunedGraph pruned = graph.Prune();
///   pruned.WriteFiles("graphs", "eiffel");               // for circuit-tracer's front end
///   File.WriteAllText("eiffel.svg", pruned.ToSvg());
/// </code>
/// </summary>
/// <remarks>circuit_tracer/attribution, circuit_tracer/graph.py</remarks>
public sealed class AttributionGraph
{
    private readonly float[]?[] _rows;

    internal AttributionGraph(
        string prompt, IReadOnlyList<string> tokens, int layers, string source, IReadOnlyList<AttributionNode> nodes, float[]?[] rows) =>
        (Prompt, Tokens, Layers, Source, Nodes, _rows) = (prompt, tokens, layers, source, nodes, rows);

    /// <summary>The prompt.</summary>
    public string Prompt { get; }

    /// <summary>The tokens of the prompt.</summary>
    public IReadOnlyList<string> Tokens { get; }

    /// <summary>The number of layers of the model.</summary>
    public int Layers { get; }

    /// <summary>The name of the model.</summary>
    public string Source { get; }

    /// <summary>The nodes: features, errors, embeddings, logits, each in the order of layers and positions.</summary>
    public IReadOnlyList<AttributionNode> Nodes { get; }

    /// <summary>
    /// Computes the graph of a prompt: one pass for the features, and one pass with gradients for each
    /// <see cref="AttributionOptions.BatchSize"/> nodes.
    /// </summary>
    /// <param name="model">The model, without the transcoders spliced in.</param>
    /// <param name="transcoders">
    /// Those of all layers. A feature's pre-activation must be linear in what the transcoder reads, so that a transcoder that normalizes
    /// its input is not supported.
    /// </param>
    /// <param name="remote">Where it runs; null for where the model's traces run.</param>
    /// <param name="progress">Receives the number of nodes whose edges are known, and the number of all.</param>
    /// <exception cref="NdifException">BAD_INPUT: the prompt is empty. UNSUPPORTED: a transcoder normalizes its input.</exception>
    public static Task<AttributionGraph> ComputeAsync(LanguageModel model, AttachedTranscoders transcoders, string prompt,
        AttributionOptions? options = null, Backend? remote = null, IProgress<(int Done, int Total)>? progress = null,
        CancellationToken cancellationToken = default) =>
        new GraphBuilder(model, transcoders, options ?? new AttributionOptions(), remote, progress).BuildAsync(prompt, cancellationToken);

    /// <summary>The weight of an edge, by the numbers of its nodes; 0 if there is none.</summary>
    public double GetWeight(int source, int target) => _rows[target] is { } row ? row[source] : 0;

    /// <summary>All edges whose weight is not 0.</summary>
    public IEnumerable<AttributionEdge> GetEdges() =>
        from target in Enumerable.Range(0, Nodes.Count)
        where _rows[target] is not null
        from source in Enumerable.Range(0, Nodes.Count)
        where _rows[target]![source] != 0
        select new AttributionEdge(Nodes[source], Nodes[target], _rows[target]![source]);

    /// <summary>Keeps the nodes and edges that have most of the influence on the logits.</summary>
    /// <param name="nodeThreshold">The fraction of the influence that the nodes that stay have.</param>
    /// <param name="edgeThreshold">The fraction of the influence that the edges that stay have.</param>
    /// <exception cref="ArgumentOutOfRangeException">A threshold is not between 0 and 1.</exception>
    public PrunedGraph Prune(double nodeThreshold = 0.8, double edgeThreshold = 0.98)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(nodeThreshold, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(nodeThreshold, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(edgeThreshold, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(edgeThreshold, 1);
        return new GraphPruning(this, _rows).Prune(nodeThreshold, edgeThreshold);
    }
}
