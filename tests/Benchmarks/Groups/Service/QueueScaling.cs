using System.Diagnostics;
using Ndif.Benchmarks.Harness;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Queue.Memory;
using Estimate = Ndif.Benchmarks.Harness.Estimate;

namespace Ndif.Benchmarks.Groups.Service;

/// <summary>
/// The time of the operations submit, lease, position and cancel on a queue of 100,000 jobs, relative to a queue of 10 jobs. Each owner has
/// 10 jobs in both, because a cancellation updates the later jobs of the same owner.
/// </summary>
internal static class QueueScaling
{
    private const int ShortQueueLength = 10, LongQueueLength = 100_000, JobsPerOwner = 10, OperationCount = 8;
    private const string Model = "benchmarks/line";

    public static async Task<IReadOnlyList<Measurement>> OnRedis(RunSettings settings, CancellationToken cancellationToken)
    {
        await using var cluster = new ServiceCluster();
        await cluster.StartRedisAsync();
        var blobs = new BlobOptions { Root = Path.Combine(cluster.Folder, "blobs") };
        await using QueueBackend shortQueue = QueueBackend.Redis(cluster.RedisAddress, new QueueOptions { Prefix = "few:" }, blobs);
        await using QueueBackend longQueue = QueueBackend.Redis(cluster.RedisAddress, new QueueOptions { Prefix = "many:" }, blobs);
        return await Measure("service.flatness, Redis", new Goal(2), settings, shortQueue.Jobs, longQueue.Jobs, cancellationToken);
    }

    public static async Task<IReadOnlyList<Measurement>> InMemory(RunSettings settings, CancellationToken cancellationToken)
    {
        await using var shortQueue = new InMemoryJobQueue();
        await using var longQueue = new InMemoryJobQueue();
        // These times are microseconds, so their ratio has no goal.
        return await Measure("service.flatness, in memory", null, settings, shortQueue, longQueue, cancellationToken);
    }

    private static async Task<IReadOnlyList<Measurement>> Measure(string name, Goal? goal, RunSettings settings, IJobQueue shortQueue,
        IJobQueue longQueue, CancellationToken cancellationToken)
    {
        WaitingQueue[] queues =
            [new(shortQueue, ShortQueueLength), new(longQueue, settings.IsQuick ? LongQueueLength / 10 : LongQueueLength)];
        foreach (WaitingQueue queue in queues) await queue.FillAsync(cancellationToken);
        string[] operations = ["submit", "position", "lease", "cancel"];
        List<double>[,] seconds = new List<double>[2, operations.Length];
        for (int which = 0; which < 2; which++)
            for (int i = 0; i < operations.Length; i++) seconds[which, i] = [];
        int rounds = settings.RoundCount(200);
        for (int round = -20; round < rounds; round++)
        {
            for (int turn = 0; turn < 2; turn++)
            {
                int which = (round & 1) ^ turn;
                double[] took = await queues[which].RoundAsync(cancellationToken);
                for (int i = 0; i < took.Length && round >= 0; i++) seconds[which, i].Add(took[i]);
            }
        }
        return [.. operations.Select((operation, i) =>
        {
            double small = Estimate.Of(seconds[0, i]).Median, large = Estimate.Of(seconds[1, i]).Median;
            return new Measurement($"{name}, {operation}", large / small, "x",
                $"{1e6 * small / OperationCount:0.0} µs with {queues[0].Size} waiting jobs, {1e6 * large / OperationCount:0.0} µs with "
                + $"{queues[1].Size}", goal);
        })];
    }

    /// <summary>One queue. Each round leaves the number of queued jobs unchanged.</summary>
    private sealed class WaitingQueue(IJobQueue jobs, int size)
    {
        private readonly List<string> _waiting = [];
        private readonly Random _random = new(1);
        private int _submitted;

        public int Size => size;

        public async Task FillAsync(CancellationToken cancellationToken)
        {
            while (_waiting.Count < size)
                await Task.WhenAll(Enumerable.Range(0, Math.Min(256, size - _waiting.Count)).Select(_ => SubmitAsync(cancellationToken)));
        }

        /// <summary>Returns the seconds of a number of submissions, position requests, leases and cancellations.</summary>
        public async Task<double[]> RoundAsync(CancellationToken cancellationToken)
        {
            double submit = await TimeAsync(() => SubmitAsync(cancellationToken));
            double position = await TimeAsync(async () =>
            {
                if ((await jobs.GetAsync(_waiting[_random.Next(_waiting.Count)], cancellationToken))!.Position == 0)
                    throw new InvalidOperationException("It does not wait.");
            });
            List<Lease> leases = [];
            double lease =
                await TimeAsync(async () => leases.Add((await jobs.LeaseAsync("benchmark", [Model], TimeSpan.Zero, cancellationToken))!));
            foreach (Lease held in leases) await jobs.ReturnAsync(held, cancellationToken);
            double cancel = await TimeAsync(() => CancelAsync(_random.Next(_waiting.Count), cancellationToken));
            return [submit, position, lease, cancel];
        }

        private async Task SubmitAsync(CancellationToken cancellationToken)
        {
            int number = _submitted++;
            var submission = new JobSubmission($"job-{number}", $"owner-{number % Math.Max(1, size / JobsPerOwner)}", Model, new byte[200]);
            lock (_waiting) _waiting.Add(submission.JobId);
            await jobs.SubmitAsync(submission, cancellationToken);
        }

        private async Task CancelAsync(int which, CancellationToken cancellationToken)
        {
            string id = _waiting[which];
            _waiting[which] = _waiting[^1];
            _waiting.RemoveAt(_waiting.Count - 1);
            JobInfo? ended = await jobs.CancelAsync(id, "", cancellationToken);
            if (ended?.State != JobState.Cancelled) throw new InvalidOperationException($"{id} is {ended?.State}.");
        }

        private static async Task<double> TimeAsync(Func<Task> operation)
        {
            long from = Stopwatch.GetTimestamp();
            for (int i = 0; i < OperationCount; i++) await operation();
            return Stopwatch.GetElapsedTime(from).TotalSeconds;
        }
    }
}
