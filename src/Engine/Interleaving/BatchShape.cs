namespace Ndif.Engine.Interleaving;

/// <summary>The shape of the current pass, which the slices of all invokes share.</summary>
internal sealed class BatchShape
{
    /// <summary>The rows of the batch; -1 for a model that is not batched.</summary>
    public long BatchSize { get; set; } = -1;

    /// <summary>Whether the pass runs over the prompts. Its token dimension then includes the padding.</summary>
    public bool IsPrefill { get; set; } = true;

    /// <summary>Whether the pass over the prompts computes the logits of the last tokens only.</summary>
    public bool HasLastLogitsOnly { get; set; }

    /// <summary>The tokens of each row in this pass, padding included.</summary>
    public long SequenceLength { get; set; }
}
