using Ndif.Engine.Compiling;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The hook points of modules that a program defines, in one trace. A call of such a module is not part of the model's pass: an invoke
/// makes it with values of its own rows. Invokes of the same rows that wait for one of its hook points run there (an edit beside an
/// invoke, or the invoke beside the edit). The caller may read the values of its last call after it has the result.
/// </summary>
internal sealed class DefinedModuleSites : IDisposable
{
    private readonly Dictionary<(HookPoint, Interpreter), HookPointState> _states = [];

    private int _activeCallCount;

    /// <summary>Whether an invoke is at a hook point of such a module.</summary>
    public bool IsCallActive => _activeCallCount > 0;

    /// <summary>Marks a call as active until the result is disposed.</summary>
    public IDisposable BeginCall() => new CallScope(this);

    /// <summary>The state of a hook point for the invokes of the same rows.</summary>
    public HookPointState StateOf(Interpreter invoke, HookPoint point)
    {
        // rows move when others leave the batch, but invokes of the same rows keep equal slices
        Interpreter representative =
            invoke.EnclosingTrace!.Invokes.First(i => i.Slice!.Start == invoke.Slice!.Start && i.Slice.Count == invoke.Slice.Count);
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
