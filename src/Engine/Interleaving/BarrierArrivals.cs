namespace Ndif.Engine.Interleaving;

/// <summary>The invokes that have arrived at a barrier, and how often.</summary>
internal sealed class BarrierArrivals
{
    /// <summary>The barrier statements that each invoke has reached.</summary>
    private readonly Dictionary<Interpreter, HashSet<uint>> _statements = [];

    /// <summary>At index n the number of invokes that have arrived more than n times.</summary>
    private readonly List<int> _invokeCounts = [];

    /// <summary>Registers an invoke at a barrier statement; again has no effect.</summary>
    /// <returns>The number of invokes that have arrived at least as often as this one.</returns>
    public int Arrive(Interpreter invoke, uint statement)
    {
        if (!_statements.TryGetValue(invoke, out HashSet<uint>? statements)) _statements[invoke] = statements = [];
        if (statements.Add(statement))
        {
            if (_invokeCounts.Count < statements.Count) _invokeCounts.Add(0);
            _invokeCounts[statements.Count - 1]++;
        }
        return _invokeCounts[statements.Count - 1];
    }
}
