using Ndif.Engine.Interleaving;

namespace Ndif.Engine.Batching;

/// <summary>A trace whose inputs have been read, so that the size of its passes is known before they run.</summary>
internal interface IPreparedTrace
{
    TraceRun Trace { get; }

    /// <summary>The number of rows; 0 for a model that is not batched.</summary>
    int RowCount { get; }

    /// <summary>The tokens of the longest prompt; 0 for a model that is not batched.</summary>
    int SequenceLength { get; }

    /// <summary>The most tokens for which its rows reserve memory in the cache; 0 if it does not generate.</summary>
    long CacheCapacity { get; }

    /// <summary>The bytes that the pass over its prompts takes at most, beside its cache; 0 if they are not known.</summary>
    double PassBytes { get; }
}
