using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>One trace of one job, while it takes part in a pass.</summary>
internal sealed class TraceRun(JobRun job, TraceStatement statement) : IDisposable
{
    private readonly List<object?> _results = [];

    public JobRun Job { get; } = job;

    public TraceStatement Statement { get; } = statement;

    /// <summary>Its invokes in the order of their definition, and last the statements outside of any.</summary>
    public List<Interpreter> Invokes { get; } = [];

    /// <summary>True if its rows have left the batch.</summary>
    public bool HasLeft { get; set; }

    /// <summary>True if its model work is over.</summary>
    public bool HasEnded { get; set; }

    /// <summary>What the traced method returned, as an invoke sees it.</summary>
    public Func<Interpreter, object?>? Result { get; set; }

    public object? ResultFor(Interpreter invoke)
    {
        object? result = Ownership.Take(Result?.Invoke(invoke));
        _results.Add(result);
        return result;
    }

    public void Dispose()
    {
        foreach (object? result in _results) Ownership.Release(result);
        _results.Clear();
    }
}
