using Ndif.Recording;

namespace Ndif;

/// <summary>
/// Several traces as one job. Values pass from one trace to the next where the job runs, and only saved values come back. Traces of the
/// same model that are opened inside a session belong to it; operations, branches and loops can be recorded between them.
/// </summary>
public sealed class Session : Tracer, IDisposable
{
    private readonly Recorder _recorder;

    internal Session(TracedModel model, Backend? backend) : base(model, backend)
    {
        if (Recorder.Ambient is not null)
            throw new InvalidOperationException("A session cannot be opened inside of a trace or of another session.");
        _recorder = Recorder.Begin(model.Reference);
        _recorder.Scopes.Push(this);
    }

    /// <summary>Ends the session. A session that did not run is discarded.</summary>
    public void Dispose() => _recorder.End();

    internal override Recorder Open() => _recorder.IsOpen ? _recorder
        : throw new InvalidOperationException("This session is closed: it has run, or was disposed.");

    private protected override string Kind => "session";

    private protected override Recorder ScopeRecorder => _recorder;

    private protected override void RequireRunnable() { }

    private protected override void Close()
    {
        if (_recorder.HasRun) throw new InvalidOperationException("This session has run already; open a new one.");
        if (_recorder.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("A trace of this session is still open; dispose it before the session is run.");
        _recorder.End();
    }
}
