using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The sites of modules that a program defines, in one trace. A call of one is no part of the model's pass: an invoke makes it, on values
/// of its own rows, and those who wait for a site of it and see the same rows (an edit beside an invoke, or the invoke beside the edit)
/// go on there. Who called it may read what was there when it has the result.
/// </summary>
internal sealed class DefinedSites : IDisposable
{
    private readonly Dictionary<(Point, Interpreter), PointState> _states = [];

    private int _calls;

    /// <summary>True while an invoke stands at a point of such a module.</summary>
    public bool IsBeingCalled => _calls > 0;

    /// <summary>Until the result is disposed.</summary>
    public IDisposable BeginCall() => new Call(this);

    /// <summary>What happens at a point for those who see an invoke's rows.</summary>
    public PointState Of(Interpreter invoke, Point point)
    {
        // rows move up in the batch when others leave, but the same rows stay the same
        Interpreter first = invoke.Within!.Invokes.First(i => i.View!.Start == invoke.View!.Start && i.View.Count == invoke.View.Count);
        if (!_states.TryGetValue((point, first), out PointState? state)) _states[(point, first)] = state = new PointState();
        return state;
    }

    public void Dispose()
    {
        foreach (PointState state in _states.Values) state.Keep(null, null);
        _states.Clear();
    }

    private sealed class Call : IDisposable
    {
        private readonly DefinedSites _sites;

        public Call(DefinedSites sites) => (_sites = sites)._calls++;

        public void Dispose() => _sites._calls--;
    }
}
