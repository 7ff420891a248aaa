using Ndif.Engine.Compiling;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The hook points of modules that a program defines, in one trace. A call of such a module is not part of the model's pass: an invoke
/// makes it with values of its own rows. Invokes of the same rows that wait for one of its hook points run there (an edit beside an
/// invoke, or the invoke beside the edit). The caller may read the values of its last call after it has the result.
/// </summary>
internal sealed class DefinedModuleSites(TraceRun trace) : IDisposable
{
    private readonly Dictionary<(HookPoint, Interpreter), HookPointState> _states = [];

    /// <summary>
    /// The invokes of the same rows as each invoke. Rows move when others leave the batch, but all of these move together.
    /// </summary>
    private readonly Lazy<Dictionary<Interpreter, Interpreter[]>> _invokesOfSameRows = new(() => trace.Invokes
        .GroupBy(invoke => (invoke.Slice!.Start, invoke.Slice.Count)).Select(group => group.ToArray())
        .SelectMany(group => group.Select(invoke => KeyValuePair.Create(invoke, group))).ToDictionary());

    private int _activeCallCount;

    /// <summary>Whether an invoke is at a hook point of such a module.</summary>
    public bool IsCallActive => _activeCallCount > 0;

    /// <summary>Marks a call as active until the result is disposed.</summary>
    public IDisposable BeginCall() => new CallScope(this);

    /// <summary>The invokes of the same rows, in the order of their definition.</summary>
    public IReadOnlyList<Interpreter> InvokesOfSameRows(Interpreter invoke) => _invokesOfSameRows.Value[invoke];

    /// <summary>The state of a hook point for the invokes of the same rows.</summary>
    public HookPointState StateOf(Interpreter invoke, HookPoint point)
    {
        Interpreter representative = InvokesOfSameRows(invoke)[0];
        if (!_states.TryGetValue((point, representative), out HookPointState? state))
            _states[(point, representative)] = state = new HookPointState();
        return state;
    }

    public void Dispose()
    {
        foreach (HookPointState state in _states.Values) state.SetLastCall(null, null);
        _states.Clear();
    }

    private sealed class CallScope : IDisposable
    {
        private readonly DefinedModuleSites _sites;

        public CallScope(DefinedModuleSites sites) => (_sites = sites)._activeCallCount++;

        public void Dispose() => _sites._activeCallCount--;
    }
}
