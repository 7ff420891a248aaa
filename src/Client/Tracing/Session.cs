using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// Several traces as one job. Values pass from one trace to the next where the job runs, and only saved values come back. Traces that are
/// opened inside a session belong to it; operations, branches and loops can be recorded between them.
/// </summary>
/// <remarks>
/// A session can trace several models. Consecutive traces of one model are one job, and the jobs run one after the other, each on a worker
/// that has its model. A value of an earlier job is a constant in a later one; it passes through this process.
/// </remarks>
public sealed class Session : Tracer, IDisposable
{
    private readonly List<SessionPart> _parts = [];

    internal Session(TracedModel model, Backend? backend) : base(model, backend)
    {
        if (Recorder.Ambient is not null)
            throw new InvalidOperationException("A session cannot be opened inside of a trace or of another session.");
        Add(model);
    }

    private Recorder Current => _parts[^1].Recorder;

    /// <summary>Ends the session. A session that did not run is discarded.</summary>
    public void Dispose()
    {
        foreach (SessionPart part in Enumerable.Reverse(_parts)) part.Recorder.End();
    }

    internal override Recorder Open() => Current.IsOpen ? Current
        : throw new InvalidOperationException("This session is closed: it has run, or was disposed.");

    /// <summary>Begins the part of another model in the session that is being recorded.</summary>
    /// <param name="recorder">The recorder of the session's current part.</param>
    /// <exception cref="InvalidOperationException">What is being recorded is a trace, or a loop or branch of the session.</exception>
    internal static void SwitchTo(TracedModel model, Recorder recorder)
    {
        if (!recorder.Scopes.TryPeek(out object? scope) || scope is not Session session) return; // Trace refuses a trace inside of a trace
        if (!recorder.IsAtRoot)
            throw new InvalidOperationException($"A loop or branch of a session has traces of one model: this one of "
                + $"`{recorder.Program.Model.Id}`, not of `{model.Reference.Id}`. Use a loop of C#, or one session for each model.");
        session.Add(model);
    }

    private void Add(TracedModel model)
    {
        var part = new SessionPart(model, Recorder.Begin(model.Reference));
        part.Recorder.Scopes.Push(this);
        part.Recorder.Import = value => _parts.Exists(earlier => earlier != part && earlier.Recorder == value.Recorder)
            ? part.Import(value) : null;
        _parts.Add(part);
    }

    private protected override string Kind => "session";

    private protected override Recorder ScopeRecorder => Current;

    private protected override void RequireRunnable() { }

    private protected override void RequireOneProgram()
    {
        if (_parts.Count > 1)
            throw Errors.CreateException(ErrorCode.Unsupported,
                "This session traces several models, so it is several jobs, and their values pass through this process.",
                "Run it with RunAsync().");
    }

    private protected override void Close()
    {
        if (Current.HasRun) throw new InvalidOperationException("This session has run already; open a new one.");
        if (Current.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("A trace of this session is still open; dispose it before the session is run.");
        Dispose();
    }

    private protected override async Task RunRecordedAsync(CancellationToken cancellationToken)
    {
        foreach (SessionPart part in _parts)
        {
            part.SetImports();
            await RunProgramAsync(part.Model, part.Recorder, cancellationToken);
        }
    }
}
