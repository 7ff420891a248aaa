namespace Ndif.Dictionaries.Attribution;

/// <summary>What a node of an attribution graph stands for.</summary>
public enum AttributionNodeKind
{
    /// <summary>An active feature of a transcoder at a position.</summary>
    Feature,
    /// <summary>What the transcoder of a layer does not explain at a position.</summary>
    Error,
    /// <summary>The input of the first layer at a position: the embedding of the token and of its position.</summary>
    Embedding,
    /// <summary>The logit of a next token, above the mean of all logits.</summary>
    Logit,
}

/// <summary>A node of an attribution graph.</summary>
/// <param name="Layer">The layer of a feature or an error; -1 for an embedding, the number of layers for a logit.</param>
/// <param name="Position">The position in the prompt.</param>
/// <param name="Index">The number of the feature, or the id of the token; -1 for an error.</param>
/// <param name="Value">The activation of a feature, the probability of a next token; otherwise 0.</param>
/// <param name="Text">The token of an embedding or a logit; otherwise empty.</param>
public sealed record AttributionNode(AttributionNodeKind Kind, int Layer, int Position, int Index, double Value, string Text);

/// <summary>An edge of an attribution graph: how much of the target's value comes directly from the source.</summary>
public sealed record AttributionEdge(AttributionNode Source, AttributionNode Target, double Weight);
