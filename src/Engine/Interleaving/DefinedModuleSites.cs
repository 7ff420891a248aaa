using Ndif.Engine.Compiling;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The sites of modules that a program defines, in one trace. A call of one is no part of the model's pass: an invoke makes it, on values
/// of its own rows, and those who wait for a site of it and see the same rows (an edit beside an invoke, or the invoke beside the edit)
/// go on there. Who called it may read what was there when it has the result.
/// </summary>
internal sealed class DefinedModuleSites : IDisposable
{
    private readonly Dictionary<(HookPoint, Interpreter), HookPointState> _states = [];

    private int _activeCallCount;

    /// <summary>True while an invoke stands at a point of such a module.</summary>
    public bool IsCallActive => _activeCallCount > 0;

    /// <summary>Until the result is disposed.</summary>
    public IDisposable BeginCall() => new CallScope(this);

    /// <summary>What happens at a point for those who see an invoke's rows.</summary>
    public HookPointState StateOf(Interpreter invoke, HookPoint point)
    {
        // rows move up in the batch when others leave, but the same rows stay the same
        Interpreter first = invoke.EnclosingTrace!.Invokes.First(i => i.Slice!.Start == invoke.Slice!.Start && i.Slice.Count == invoke.Slice.Count);
        if (!_states.TryGetValue((point, first), out HookPointState? state)) _states[(point, first)] = state = new HookPointState();
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
