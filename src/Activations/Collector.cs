using System.Diagnostics;
using System.Threading.Channels;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>
/// One run of a collection. Four parts work at the same time, and each waits when the next one is behind, so that the memory is bounded:
/// <code>
/// BatchPlanner  ->  jobs in flight   ->  shard in memory  ->  CollectionFolder
/// read, tokenize    BatchRunner: run     in order             write, commit
/// </code>
/// A shard is complete when its line is in the index of the folder (<see cref="CollectionFolder"/>); the line says where the next one
/// begins.
/// </summary>
internal sealed class Collector(
    TransformersModel model, TextDataset dataset, IReadOnlyList<string> sites, string folder, CollectOptions options, Backend? remote,
    IProgress<CollectProgress>? progress)
{
    /// <summary>Batches that are tokenized in advance: enough to go on while the next window is tokenized.</summary>
    private const int PlannedBatches = 64;

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _lastReport, _overflows;

    public async Task<CollectReport> RunAsync(CancellationToken cancellationToken)
    {
        RequireSites();
        SiteProbe probe = await SiteProbe.RunAsync(model, sites, options.Dtype, remote, cancellationToken);
        Manifest manifest = await Manifest.CreateAsync(model, dataset, probe.Sites, options, cancellationToken);
        using CollectionFolder collection = CollectionFolder.Open(folder, manifest);
        if (collection.Report is { } done) return done with { ResumedRows = done.Rows, Overflows = 0 };

        CollectCursor from = collection.Next;
        var planner = new BatchPlanner(model, dataset, options);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Channel<PromptBatch> planned = Channel.CreateBounded<PromptBatch>(PlannedBatches);
        Task planning = PlanAsync(planner, from, planned.Writer, stop.Token);
        try
        {
            await CollectAsync(planned.Reader, probe, collection, from.Rows, stop.Token);
        }
        finally
        {
            await stop.CancelAsync();
            await planning.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        CollectCounts counts = planner.End!.Counts;
        var report = new CollectReport(counts.Texts, planner.End.Rows, counts.Empty, counts.Truncated, counts.Skipped, counts.Invalid,
            collection.Shards.Count, collection.Shards.Sum(shard => shard.Bytes), from.Rows, _overflows);
        collection.Complete(report);
        return report;
    }

    private void RequireSites()
    {
        if (sites.Count == 0) throw Errors.CreateException(ErrorCode.BadArgument, "A collection needs at least one site.");
        if (sites.GroupBy(site => site).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw Errors.CreateException(ErrorCode.BadArgument, $"The site `{twice.Key}` is given twice.");
    }

    private static async Task PlanAsync(
        BatchPlanner planner, CollectCursor from, ChannelWriter<PromptBatch> planned, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (PromptBatch batch in planner.PlanAsync(from, cancellationToken))
                await planned.WriteAsync(batch, cancellationToken);
            planned.Complete();
        }
        catch (Exception e)
        {
            planned.Complete(e);
        }
    }

    private async Task CollectAsync(
        ChannelReader<PromptBatch> planned, SiteProbe probe, CollectionFolder collection, long firstRow,
        CancellationToken cancellationToken)
    {
        var runner = new BatchRunner(model, probe.Sites, options.Dtype, probe.PadsRight, remote);
        int jobsInFlight = options.JobsInFlight ?? (probe.IsRemote ? 4 : 2);
        int batchesPerJob = options.BatchesPerJob ?? (probe.IsRemote ? 8 : 1);
        var running = new Queue<(List<PromptBatch> Batches, Task<TensorData[][]> Values)>();
        var shard = new ShardBuffer(probe.Sites);
        Task writing = Task.CompletedTask;
        try
        {
            while (await ReadAsync(planned, batchesPerJob, cancellationToken) is { Count: > 0 } batches)
            {
                running.Enqueue((batches, runner.RunAsync(batches, cancellationToken)));
                if (running.Count == jobsInFlight) await TakeFirstAsync();
            }
            while (running.Count > 0) await TakeFirstAsync();
            if (shard.Rows > 0) await WriteAsync();
            await writing;
        }
        catch
        {
            await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // a shard that is complete is committed
            throw;
        }
        finally
        {
            foreach (var job in running) // those that follow a failure
                _ = job.Values.ContinueWith(task => task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted,
                    TaskScheduler.Default);
        }

        async Task TakeFirstAsync()
        {
            (List<PromptBatch> batches, Task<TensorData[][]> values) = running.Dequeue();
            TensorData[][] results = await values;
            for (int i = 0; i < batches.Count; i++)
            {
                shard.Add(batches[i], results[i]);
                Report(batches[i], firstRow, shard.RowBytes);
                if (shard.Bytes >= options.ShardBytes) await WriteAsync();
            }
        }

        async Task WriteAsync()
        {
            await writing; // one shard is written while the next one is filled
            ShardBuffer full = shard;
            shard = new ShardBuffer(probe.Sites);
            writing = Task.Run(async () =>
            {
                await collection.CommitAsync(full);
                _overflows += full.CountOverflows();
            }, CancellationToken.None);
        }
    }

    /// <summary>The batches of the next job: as many as there are, up to a number; none at the end.</summary>
    private static async Task<List<PromptBatch>> ReadAsync(
        ChannelReader<PromptBatch> planned, int count, CancellationToken cancellationToken)
    {
        List<PromptBatch> batches = [];
        while (batches.Count < count && await planned.WaitToReadAsync(cancellationToken) && planned.TryRead(out PromptBatch? batch))
            batches.Add(batch);
        return batches;
    }

    private void Report(PromptBatch batch, long firstRow, long rowBytes)
    {
        if (progress is null || Stopwatch.GetElapsedTime(_lastReport) < TimeSpan.FromMilliseconds(100)) return;
        _lastReport = Stopwatch.GetTimestamp();
        double seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        double rate = (batch.Next.Rows - firstRow) / seconds, rows = batch.Next.Rows;
        // the rows that are left, if the rest of the dataset is like the part that is done
        double left = batch.Fraction > 0 ? rows * (1 - batch.Fraction) / batch.Fraction : double.NaN;
        TimeSpan? remaining = left / rate is >= 0 and < 1e9 and var rest ? TimeSpan.FromSeconds(rest) : null;
        progress.Report(new CollectProgress(batch.Next.Rows, batch.Next.Rows * rowBytes, batch.Fraction, rate, remaining));
    }
}
