using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

// Running what was recorded, the same way for a trace and a session.
public abstract partial class Tracer
{
    private readonly List<RecordedRun> _runs = [];

    private protected Tracer(TracedModel model, Backend? backend) => (Model, Backend) = (model, backend ?? NdifConfig.DefaultBackend);

    internal TracedModel Model { get; }

    private protected Backend Backend { get; }

    /// <summary>"trace" or "session", for error messages.</summary>
    private protected abstract string Kind { get; }

    /// <summary>The recorder, whether or not the scope is open.</summary>
    private protected abstract Recorder ScopeRecorder { get; }

    /// <exception cref="InvalidOperationException">The scope runs as a part of another one, or has run already.</exception>
    private protected abstract void RequireRunnable();

    /// <summary>Ends the recording, so that the program is complete.</summary>
    /// <exception cref="InvalidOperationException">Something inside the scope is still open.</exception>
    private protected abstract void Close();

    /// <summary>Receives the lines of <see cref="Log"/>. Default: the console's output.</summary>
    public Action<string> OnLog { get; set; } = Console.WriteLine;

    /// <summary>Receives warnings. Default: the console's error output.</summary>
    public Action<string> OnWarning { get; set; } = Console.Error.WriteLine;

    /// <summary>Receives every event of the run: states, progress, values.</summary>
    public Action<JobEvent>? OnEvent { get; set; }

    /// <summary>
    /// The id of the remote job; null before the run, and in a local run. An id that is set before the run makes the run resumable: the
    /// job goes on when this process ends, and a later process that runs the same program under the same id gets its results, or waits for
    /// them. Only a cancelled token, or <c>ndif jobs cancel</c>, cancels such a job.
    /// </summary>
    /// <remarks>
    /// 1 to 64 letters, digits and <c>-</c>. It is unique among the jobs of one API key; the service refuses the id of a job with
    /// another program. In a session over several models,
    /// the second job has the suffix <c>-2</c>, and so on; the id is that of the current job.
    /// </remarks>
    public string? JobId
    {
        get => _runs.Count > 0 ? _runs[^1].JobId : _chosenJobId;
        set => _chosenJobId = value is null || JobIds.IsValid(value) ? value
            : throw new ArgumentException($"`{value}` is not a job id: it has 1 to 64 letters, digits and `-`.", nameof(value));
    }

    private string? _chosenJobId;

    /// <summary>The times of the phases of the run; null before its end.</summary>
    public RunTimings? Timings => RunTimings.Sum([.. _runs.Select(run => run.Timings)]);

    /// <summary>
    /// Runs the program and sets the results of the saved values. A remote job belongs to this call: a cancellation of the token cancels
    /// it, and so does the end of this process (Ctrl-C, a crash) before the job has ended, unless <see cref="JobId"/> was set.
    /// <see cref="SubmitAsync"/> starts a job that outlives the process, which <see cref="Job.AttachAsync"/> finds again by its id.
    /// </summary>
    /// <exception cref="NdifException">The run failed; the message names the module and the line that recorded the operation.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public Task RunAsync(CancellationToken cancellationToken = default)
    {
        // Not async: what Close changes of the ambient recorder must reach the caller's context, so that the program can be freed.
        RequireRunnable();
        Close();
        return RunRecordedAsync(cancellationToken);
    }

    /// <summary>Runs the program, whose recording has ended.</summary>
    private protected virtual Task RunRecordedAsync(CancellationToken cancellationToken) =>
        RunProgramAsync(Model, ScopeRecorder, cancellationToken);

    /// <summary>Runs a program of one model.</summary>
    private protected Task RunProgramAsync(TracedModel model, Recorder recorder, CancellationToken cancellationToken)
    {
        RecordedRun run = StartRun(recorder);
        _runs.Add(run);
        return run.RunAsync(model.RunnerFor(Backend), cancellationToken);
    }

    /// <summary><see cref="RunAsync"/> for scripts without await.</summary>
    public void Run() => RunAsync().GetAwaiter().GetResult();

    /// <summary>
    /// Submits the program to the service and returns without waiting. The saved values have their results when the job has been followed
    /// to its end (<see cref="Job.WaitAsync"/>).
    /// </summary>
    /// <exception cref="InvalidOperationException">It would run locally.</exception>
    /// <exception cref="NdifException">The service refused the program.</exception>
    public Task<Job> SubmitAsync(CancellationToken cancellationToken = default)
    {
        RequireRunnable();
        if (Model.RunnerFor(Backend) is not Remote.RemoteService service)
            throw new InvalidOperationException($"Only a remote {Kind} can be submitted without waiting: pass remote: true.");
        RequireOneProgram();
        Close();
        return Job.SubmitAsync(service, StartRun(ScopeRecorder), cancellationToken);
    }

    /// <summary>The program as it would be sent. The call ends the recording.</summary>
    public Protocol.Program ToProgram()
    {
        RequireOneProgram();
        Close();
        return ScopeRecorder.Program;
    }

    /// <exception cref="NdifException">UNSUPPORTED: what was recorded is more than one program.</exception>
    private protected virtual void RequireOneProgram() { }

    private protected RecordedRun CreateRun(Recorder recorder) => new(recorder, OnLog, OnWarning, OnEvent,
        _chosenJobId is { } id && _runs.Count > 0 ? $"{id}-{_runs.Count + 1}" : _chosenJobId);

    private RecordedRun StartRun(Recorder recorder)
    {
        recorder.RequireOneThread();
        foreach (string warning in recorder.Warnings.Concat(UnusedValues.Describe(recorder))) OnWarning($"warning: {warning}");
        return CreateRun(recorder);
    }

    internal virtual bool IsRemote => Backend.Kind is BackendKind.Remote;
}
