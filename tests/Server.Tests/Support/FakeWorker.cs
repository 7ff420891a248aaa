using System.Globalization;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Tests.Support;

/// <summary>
/// A worker without a model. The `client` field of a program selects its behavior: `echo` logs, saves and completes; `hang`
/// runs until the lease is lost; `ask` asks the client and completes with its answer; `fail` fails; `flood N BYTES` sends N large
/// log lines; `drip` logs a line every millisecond until the lease is lost.
/// </summary>
internal sealed class FakeWorker : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly QueueBackend _backend;
    private readonly Task _loop;

    public FakeWorker(QueueBackend backend)
    {
        this._backend = backend;
        _loop = LoopAsync();
    }

    private async Task LoopAsync()
    {
        try
        {
            while (await _backend.Jobs.LeaseAsync("worker-1", [TestGateway.Model], TimeSpan.FromHours(1), _stop.Token) is { } lease)
                _ = RunAsync(lease);
        }
        catch (OperationCanceledException) { }
        catch (ObjectDisposedException) { }
    }

    private async Task RunAsync(Lease lease)
    {
        Program program = Program.Parser.ParseFrom(lease.Program.Span);
        string[] words = program.Client.Split(' ');
        await PublishAsync(new Event { State = new StateChanged { State = JobState.Running } });
        switch (words[0])
        {
            case "hang":
                return;
            case "ask":
                await PublishAsync(new Event { Local = new LocalRequest { Callback = 1, Ticket = 7, TimeoutSeconds = 30 } });
                LocalReply? reply = await _backend.Jobs.AwaitReplyAsync(lease, 7, TimeSpan.FromSeconds(30), _stop.Token);
                await PublishAsync(
                    new Event { Value = new SavedValue { Name = "answer", Data = reply?.Value ?? new Data(), Last = true } });
                break;
            case "flood":
                var line = new string('x', int.Parse(words[2], CultureInfo.InvariantCulture));
                for (int i = 0; i < int.Parse(words[1], CultureInfo.InvariantCulture); i++)
                    await PublishAsync(new Event { Log = new LogLine { Text = line } });
                break;
            case "drip":
                using (var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(1)))
                    while (await timer.WaitForNextTickAsync(lease.Lost))
                        await PublishAsync(new Event { Log = new LogLine { Text = new string('.', 2000) } });
                return;
            case "fail":
                await PublishAsync(new Event
                {
                    State = new StateChanged { State = JobState.Failed,
                        Error = Errors.Create(ErrorCode.ShapeMismatch, "The shapes do not fit.") },
                });
                return;
            default:
                await PublishAsync(new Event { Log = new LogLine { Text = "hello" } });
                await PublishAsync(new Event { Value = new SavedValue { Name = "x", Data = new Data { Integer = 42 }, Last = true } });
                break;
        }
        await PublishAsync(new Event { State = new StateChanged { State = JobState.Completed } });

        Task PublishAsync(Event jobEvent) => _backend.Jobs.PublishAsync(lease, jobEvent, _stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        _stop.Dispose();
    }
}
