using Ndif.Protocol;

namespace Ndif.Workbench.Sessions;

/// <summary>
/// Asks for the status of the service every two seconds while a page is open, so that each page shows whether the gateway answers.
/// </summary>
/// <param name="onChanged">Called after each answer, on a thread of the pool.</param>
public sealed class ServiceMonitor(WorkbenchSession session, Func<Task> onChanged) : IAsyncDisposable
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(2), _timeout = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _wake = new(0);
    private Task _loop = Task.CompletedTask;

    /// <summary>The last status; null before the first one.</summary>
    public ServiceStatus? Status { get; private set; }

    /// <summary>Why the last question was not answered; null if it was.</summary>
    public Problem? Problem { get; private set; }

    /// <summary>Whether a question has been answered or has failed.</summary>
    public bool HasAsked { get; private set; }

    /// <summary>Begins to ask.</summary>
    public void Start() => _loop = Task.Run(RunAsync);

    /// <summary>Asks now.</summary>
    public void Refresh() => _wake.Release();

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                await AskAsync();
                await onChanged();
                await _wake.WaitAsync(_interval, _stop.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // the page was closed
        }
    }

    private async Task AskAsync()
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(_timeout);
        try
        {
            Status = await Ndif.Status.GetAsync(session.Backend, timeout.Token);
            Problem = null;
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            Problem = Problem.NoAnswer(session.Gateway, _timeout);
        }
        catch (Exception e) when (e is NdifException or ArgumentException)
        {
            Problem = Problem.From(e, session);
        }
        HasAsked = true;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        _stop.Dispose();
        _wake.Dispose();
    }
}
