using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>One prompt (or batch of prompts) of a trace; the interventions recorded while it is open see only its own rows.</summary>
public sealed class Invoke : IDisposable
{
    private readonly Trace _trace;
    private readonly Protocol.Invoke _node;
    private readonly List<Protocol.Invoke> _edits = [];
    private readonly CallIndex _outerCall;
    private bool _isClosed;

    internal Invoke(Trace trace, object? input, Generation? generation = null)
    {
        _trace = trace;
        _node = new Protocol.Invoke { Generation = generation };
        _outerCall = trace.Recorder.CurrentCall;
        trace.Recorder.CurrentCall = new CallIndex { At = 0 };
        if (input is not null)
        {
            _node.Input = new Input();
            trace.Model.WriteInput(input, _node.Input, trace.Recorder.Argument);
            // a persistent edit goes on the same rows, before what is recorded here and in an order of its own
            foreach (Action edit in trace.Model.Edits) _edits.Add(new Protocol.Invoke { Region = trace.Recorder.RecordRegion(edit) });
        }
        _node.Region = trace.Recorder.OpenRegion();
        trace.Recorder.Scopes.Push(this);
    }

    /// <summary>How many new tokens its rows get, if it says so itself.</summary>
    internal int? MaxNewTokens => _node.Generation is { HasMaxNewTokens: true } own ? (int)own.MaxNewTokens : null;

    public void Dispose()
    {
        if (_isClosed) return;
        _isClosed = true;
        Recorder recorder = _trace.Recorder;
        if (recorder.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("A loop or branch inside of this invoke is still open.");
        recorder.Scopes.Pop();
        recorder.CurrentCall = _outerCall;
        recorder.CloseRegion();
        uint position = (uint)(_trace.Node.Invokes.Count + _edits.Count);
        foreach (Protocol.Invoke edit in _edits) edit.Beside = position;
        _trace.Node.Invokes.AddRange([.. _edits, _node]);
    }
}

/// <summary>
/// A point at which invokes wait for each other. Values that flow from one invoke to another order them already; a barrier says
/// it, and is checked.
/// </summary>
public sealed class Barrier
{
    private readonly Recorder _recorder;
    private readonly uint _id, _participants;

    internal Barrier(Recorder recorder, int participants)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(participants, 1);
        (_recorder, _id, _participants) = (recorder, recorder.NextBarrier(), (uint)participants);
    }

    /// <summary>Waits until as many invokes as the barrier has participants have come here.</summary>
    public void Wait() => _recorder.Add(new Node { Barrier = new Protocol.Barrier { Id = _id, Participants = _participants } });
}
