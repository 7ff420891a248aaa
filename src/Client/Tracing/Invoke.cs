using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>One prompt (or batch of prompts) of a trace. The interventions that are recorded while it is open see only its rows.</summary>
public sealed class Invoke : IDisposable
{
    private readonly Trace _trace;
    private readonly Protocol.Messages.Invoke _node;
    private readonly List<Protocol.Messages.Invoke> _edits = [];
    private readonly CallIndex _outerCall;
    private readonly IDisposable _continuation;
    private bool _isClosed;

    internal Invoke(Trace trace, object? input, Generation? generation = null)
    {
        _trace = trace;
        _node = new Protocol.Messages.Invoke { Generation = generation };
        _outerCall = trace.Recorder.CurrentCall;
        trace.Recorder.CurrentCall = new CallIndex { At = 0 };
        if (input is not null)
        {
            _node.Input = new Input();
            trace.Model.WriteInput(input, _node.Input, trace.Recorder.Argument);
            // a persistent edit is an invoke of its own on the same rows: it precedes this one, and no order is imposed on its modules
            bool isLaterPrompt = trace.Node.Invokes.Any(other => other.Input is not null);
            foreach (PersistentEdit edit in trace.Model.Edits)
            {
                uint region = EditRecorder.Record(trace.Recorder, edit.Record, trace.Node.Mode is Mode.Generate, isLaterPrompt);
                _edits.Add(new Protocol.Messages.Invoke { Region = region, Adapter = edit.Adapter is not null });
            }
        }
        _node.Region = trace.Recorder.OpenRegion();
        trace.Recorder.Scopes.Push(this);
        _continuation = trace.Recorder.Use(); // the trace may have been opened in another flow of control
    }

    /// <summary>The thread that opened it.</summary>
    internal int Thread { get; } = Environment.CurrentManagedThreadId;

    /// <summary>The number of new tokens that its own options set, if they do.</summary>
    internal int? MaxNewTokens => _node.Generation is { HasMaxNewTokens: true } options ? (int)options.MaxNewTokens : null;

    /// <summary>Ends the invoke.</summary>
    /// <exception cref="InvalidOperationException">A loop or branch inside it is still open.</exception>
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
        _continuation.Dispose();
        uint position = (uint)(_trace.Node.Invokes.Count + _edits.Count);
        foreach (Protocol.Messages.Invoke edit in _edits) edit.Beside = position;
        _trace.Node.Invokes.AddRange([.. _edits, _node]);
    }
}
