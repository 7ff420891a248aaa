using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

// Running what was recorded, the same way for a trace and a session.
public abstract partial class Tracer
{
    private RecordedRun? _run;

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

    /// <summary>The times of the phases of the run; null before its end.</summary>
    public RunTimings? Timings => _run?.Timings;

    /// <summary>
    /// Runs the program and sets the results of the saved values. A remote job belongs to this call: a cancellation of the token cancels
    /// it, and so does the end of this process (Ctrl-C, a crash) before the job has ended. <see cref="SubmitAsync"/> starts a job that
    /// outlives the process, which <see cref="Job.AttachAsync"/> finds again by its id.
    /// </summary>
    /// <exception cref="NdifException">The run failed; the message names the module and the line that recorded the operation.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public Task RunAsync(CancellationToken cancellationToken = default)
    {
        // Not async: what Close changes of the ambient recorder must reach the caller's context, so that the program can be freed.
        RequireRunnable();
        _run = EndRecording();
        return _run.RunAsync(Model.RunnerFor(Backend), cancellationToken);
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
        return Job.SubmitAsync(service, EndRecording(), cancellationToken);
    }

    /// <summary>The program as it would be sent. The call ends the recording.</summary>
    public Protocol.Program ToProgram()
    {
        Close();
        return ScopeRecorder.Program;
    }

    private RecordedRun EndRecording()
    {
        Close();
        ScopeRecorder.RequireOneThread();
        foreach (string warning in ScopeRecorder.Warnings.Concat(UnusedValues.Describe(ScopeRecorder))) OnWarning($"warning: {warning}");
        return CreateRun();
    }

    private protected RecordedRun CreateRun() => new(ScopeRecorder, OnLog, OnWarning, OnEvent);

    internal virtual bool IsRemote => Backend.Kind is BackendKind.Remote;
}
