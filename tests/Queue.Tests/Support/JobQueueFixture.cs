using Ndif.Protocol;
using Ndif.Queue.Memory;


namespace Ndif.Queue.Tests.Support;

/// <summary>A queue under test, whose clock can be advanced.</summary>
public abstract class JobQueueFixture : IAsyncDisposable
{
    public abstract IJobQueue Queue { get; }

    /// <summary>Advances the clock for leases and retention.</summary>
    public abstract Task AdvanceAsync(TimeSpan by);

    /// <summary>Creates the queue of another process of the same cluster.</summary>
    public abstract IJobQueue OpenAnother();

    public abstract ValueTask DisposeAsync();

    public Task<JobInfo> SubmitAsync(string id, string owner = "ana", string model = "gpt2", double weight = 1, double cost = 1) =>
        Queue.SubmitAsync(new JobSubmission(id, owner, model, new byte[] { 1, 2, 3 }, weight, cost, TimeSpan.FromMinutes(1)), Cancel);

    /// <summary>Submits a job with a quota.</summary>
    public Task<JobInfo> SubmitAsync(string id, Quota quota, string owner = "ana", string model = "gpt2", IJobQueue? queue = null) =>
        (queue ?? Queue).SubmitAsync(new JobSubmission(id, owner, model, new byte[] { 1 }, Quota: quota, MaxResultBytes: 5000), Cancel);

    /// <summary>Leases a job; one must be waiting.</summary>
    public async Task<Lease> LeaseAsync(string worker = "w1", string model = "gpt2") =>
        await Queue.LeaseAsync(worker, [model], TimeSpan.Zero, Cancel) ?? throw new InvalidOperationException("no job waits");

    /// <summary>Leases all waiting jobs, in order.</summary>
    public async Task<List<string>> CompleteAllAsync(string model = "gpt2")
    {
        List<string> order = [];
        while (await Queue.LeaseAsync("w1", [model], TimeSpan.Zero, Cancel) is { } lease)
        {
            order.Add(lease.JobId);
            await PublishAsync(lease, JobState.Completed);
        }
        return order;
    }

    public Task<bool> PublishAsync(Lease lease, JobState state) =>
        Queue.PublishAsync(lease, new Event { State = new StateChanged { State = state } }, Cancel);

    public Task<bool> LogAsync(Lease lease, string text) =>
        Queue.PublishAsync(lease, new Event { Log = new LogLine { Text = text } }, Cancel);

    public async Task<JobInfo> GetInfoAsync(string id) =>
        await Queue.GetAsync(id, Cancel) ?? throw new InvalidOperationException($"no job {id}");

    /// <summary>Returns all events of a job that ends.</summary>
    public async Task<List<Event>> WatchAsync(string id, ulong from = 1)
    {
        List<Event> events = [];
        await foreach (Event jobEvent in Queue.WatchAsync(id, from, Cancel)) events.Add(jobEvent);
        return events;
    }

    /// <summary>Expires and reaps the leases of all running jobs.</summary>
    public async Task<int> ExpireLeasesAsync()
    {
        await AdvanceAsync(TimeSpan.FromMinutes(1));
        return await Queue.ReapExpiredLeasesAsync(Cancel);
    }

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;
}

/// <summary>The in-memory queue with a manual clock.</summary>
public sealed class InMemoryJobQueueFixture : JobQueueFixture
{
    public InMemoryJobQueueFixture(QueueOptions? options = null) => Queue = new InMemoryJobQueue(options, Time);

    public ManualTime Time { get; } = new();

    public override IJobQueue Queue { get; }

    public override Task AdvanceAsync(TimeSpan by)
    {
        Time.Advance(by);
        return Task.CompletedTask;
    }

    public override IJobQueue OpenAnother() => Queue;

    public override ValueTask DisposeAsync() => Queue.DisposeAsync();
}
