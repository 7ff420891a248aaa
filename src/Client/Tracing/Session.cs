using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>
/// Several traces as one job: values flow from one to the next where they run, and only what is saved comes back. Traces of the
/// same model that are opened inside of it belong to it; plain operations, branches and loops stand between them.
/// </summary>
public sealed class Session : Scope, IDisposable
{
    private readonly Recorder _recorder;
    private readonly TracedModel _model;
    private readonly Backend _backend;
    private RecordedRun? _run;

    internal Session(TracedModel model, Backend? backend)
    {
        if (Recorder.Ambient is not null) throw new InvalidOperationException("A session cannot be opened inside of a trace or of another session.");
        (_model, _backend) = (model, backend ?? NdifConfig.DefaultBackend);
        _recorder = Recorder.Begin(model.Reference);
        _recorder.Scopes.Push(this);
    }

    /// <summary>Where log lines go; the console's output by default.</summary>
    public Action<string> OnLog { get; set; } = Console.WriteLine;

    /// <summary>Where warnings go; the console's error output by default.</summary>
    public Action<string> OnWarning { get; set; } = Console.Error.WriteLine;

    /// <summary>Told of every event of the run.</summary>
    public Action<JobEvent>? OnEvent { get; set; }

    /// <summary>Runs all its traces and fills what was saved.</summary>
    /// <exception cref="NdifException">One of them failed; the message names its line.</exception>
    public Task RunAsync(CancellationToken cancellationToken = default)
    {
        Close();
        _run = new RecordedRun(_recorder, OnLog, OnWarning, OnEvent);
        return _run.RunAsync(_model.RunnerFor(_backend), cancellationToken);
    }

    /// <summary>Where the time of a remote run went; null before its end, and for a local one.</summary>
    public RunTimings? Timings => _run?.Timings;

    /// <summary><see cref="RunAsync"/> for scripts that do not await.</summary>
    public void Run() => RunAsync().GetAwaiter().GetResult();

    /// <summary>Hands the session to the service and does not wait.</summary>
    public Task<Job> SubmitAsync(CancellationToken cancellationToken = default)
    {
        if (_model.RunnerFor(_backend) is not Remote.RemoteService service)
            throw new InvalidOperationException("Only a remote session can be submitted without waiting: pass remote: true.");
        Close();
        return Job.SubmitAsync(service, new RecordedRun(_recorder, OnLog, OnWarning, OnEvent), cancellationToken);
    }

    /// <summary>The program as it would be sent; the session is closed by it.</summary>
    public Program ToProgram()
    {
        Close();
        return _recorder.Program;
    }

    /// <summary>Ends the session. One that was not run is thrown away.</summary>
    public void Dispose() => _recorder.End();

    internal override bool IsRemote => _backend.Kind is BackendKind.Remote;

    internal override Recorder Open() => _recorder.IsOpen ? _recorder
        : throw new InvalidOperationException("This session is closed: it has run, or was disposed.");

    private void Close()
    {
        if (_recorder.HasRun) throw new InvalidOperationException("This session has run already; open a new one.");
        if (_recorder.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("A trace of this session is still open; dispose it before the session is run.");
        _recorder.End();
    }
}
