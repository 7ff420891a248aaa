using Ndif.Protocol;
using Ndif.Workbench.Sessions;

namespace Ndif.Workbench.Experiments;

/// <summary>The runs of one page, one at a time: the state that it shows, and the cancellation of the job.</summary>
/// <param name="onChanged">Renders the page. It is called on any thread, at most every 50 ms.</param>
public sealed class Run(WorkbenchSession session, Func<Task> onChanged) : IDisposable
{
    private static readonly TimeSpan _renderInterval = TimeSpan.FromMilliseconds(50);

    private CancellationTokenSource? _cancellation;
    private int _isRenderPending;

    /// <summary>Whether a job is waiting or running.</summary>
    public bool IsRunning => _cancellation is not null;

    /// <summary>The state of the job as a line of text; empty before the first run.</summary>
    public string Status { get; private set; } = "";

    /// <summary>The last warning of the run, such as a submission that waits for a limit of the key; null for none.</summary>
    public string? Warning { get; private set; }

    /// <summary>Why the last run failed; null if it did not.</summary>
    public Problem? Problem { get; private set; }

    /// <summary>Cancels the job when the user asks for it, and when the page is closed.</summary>
    public CancellationToken Cancellation => _cancellation?.Token ?? CancellationToken.None;

    /// <summary>Shows a problem of the inputs instead of a run.</summary>
    public void Refuse(Problem problem) => (Problem, Status, Warning) = (problem, "", null);

    /// <summary>Runs an experiment to its end. Its failure becomes <see cref="Problem"/>.</summary>
    /// <param name="experiment">Runs on a thread of the pool, because recording asks the service for the model's description.</param>
    public async Task StartAsync(Func<Task> experiment)
    {
        if (IsRunning) return;
        using var cancellation = new CancellationTokenSource();
        (_cancellation, Problem, Warning, Status) = (cancellation, null, null, "Sending…");
        try
        {
            await Task.Run(experiment, cancellation.Token);
            if (Status == "Sending…") Status = "Done.";
        }
        catch (OperationCanceledException)
        {
            Status = "Cancelled.";
        }
        catch (NdifException e) when (e.Code is ErrorCode.JobCancelled && cancellation.IsCancellationRequested)
        {
            Status = "Cancelled.";
        }
        catch (Exception e)
        {
            (Problem, Status) = (Problem.From(e, session), "");
        }
        finally
        {
            _cancellation = null;
        }
    }

    /// <summary>Cancels the job.</summary>
    public void Cancel()
    {
        Status = "Cancelling…";
        _cancellation?.Cancel();
    }

    /// <summary>Shows the events of a trace or session.</summary>
    /// <param name="onEvent">Called after the results of earlier events were set, on the thread that sets them.</param>
    public void Watch(Tracer tracer, Action? onEvent = null)
    {
        tracer.OnLog = _ => { };
        tracer.OnWarning = warning =>
        {
            Warning = warning;
            RequestRender();
        };
        tracer.OnEvent = jobEvent =>
        {
            if (Describe(jobEvent) is { } text && !Cancellation.IsCancellationRequested) Status = text;
            onEvent?.Invoke();
            RequestRender();
        };
    }

    /// <summary>Renders the page soon.</summary>
    public void RequestRender()
    {
        if (Interlocked.Exchange(ref _isRenderPending, 1) == 1) return;
        _ = RenderLaterAsync();

        async Task RenderLaterAsync()
        {
            await Task.Delay(_renderInterval);
            Volatile.Write(ref _isRenderPending, 0);
            await onChanged();
        }
    }

    public void Dispose() => _cancellation?.Cancel();

    private static string? Describe(JobEvent jobEvent) => jobEvent.Raw.KindCase switch
    {
        Event.KindOneofCase.State => jobEvent.State switch
        {
            JobState.Completed => $"Completed in {1000 * jobEvent.Raw.State.Usage?.Phases.Sum(phase => phase.Seconds):0} ms.",
            JobState.Failed or JobState.Cancelled => null,
            _ => $"{char.ToUpperInvariant(jobEvent.ToString()[0])}{jobEvent.ToString()[1..]}",
        },
        Event.KindOneofCase.Restart or Event.KindOneofCase.Progress => jobEvent.ToString(),
        _ => null,
    };
}
