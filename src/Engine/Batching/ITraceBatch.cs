using Ndif.Engine.Interleaving;

namespace Ndif.Engine.Batching;

/// <summary>Traces whose prompts have run and that generate together, one token of each row in a step.</summary>
internal interface ITraceBatch : IDisposable
{
    /// <summary>The traces that still generate.</summary>
    IEnumerable<TraceRun> Traces { get; }

    /// <summary>Whether no trace is left.</summary>
    bool HasEnded { get; }

    /// <summary>Runs one step.</summary>
    void Step();

    /// <summary>Adds the rows of another batch of the same model, which is disposed. Returns false if they cannot be one batch.</summary>
    bool TryAppend(ITraceBatch other);
}
