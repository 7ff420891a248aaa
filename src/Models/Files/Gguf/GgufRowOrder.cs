namespace Ndif.Models.Files.Gguf;

/// <summary>The order of a weight's rows in GGUF, where it differs from Hugging Face's.</summary>
internal enum GgufRowOrder
{
    /// <summary>The same.</summary>
    Same,

    /// <summary>The two halves of each query head are interleaved, for rotations of neighbours.</summary>
    InterleavedQueryHeads,

    /// <summary>The same of each key head.</summary>
    InterleavedKeyHeads,

    /// <summary>Queries, keys and values of all heads follow each other; Hugging Face has those of each head together.</summary>
    SplitQkv,
}
