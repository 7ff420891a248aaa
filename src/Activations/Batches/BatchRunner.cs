using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>
/// Runs batches as jobs, in this process or on a service. A job is a session with a trace for each batch. In a trace each site has an
/// invoke of its own, so that the order of the sites does not matter, and the pass ends after the last of them.
/// </summary>
/// <param name="padsRight">Whether the padding of a batch comes after the tokens.</param>
internal sealed class BatchRunner(
    TransformersModel model, IReadOnlyList<ActivationSite> sites, DType? dtype, bool padsRight, Backend? remote)
{
    /// <summary>Runs batches as one job.</summary>
    /// <returns>The values of each batch at each site. [rows, ...]</returns>
    public Task<TensorData[][]> RunAsync(IReadOnlyList<PromptBatch> batches, CancellationToken cancellationToken)
    {
        // Not async: the recording must end in the context in which it began.
        using Session session = model.Session(remote);
        List<Saved[]> values = [.. batches.Select(Record)];
        return GetResultsAsync(StartAsync(session, cancellationToken), values);
    }

    private Saved[] Record(PromptBatch batch)
    {
        Value? rows = batch.IsDense ? null : (Value)FindRows(batch).ToArray(); // [rows]
        int[][] tokens = [.. batch.Texts.Select(text => text.Tokens)];
        return RecordSites(model, sites.Select(site => site.Name), tokens, value =>
        {
            Value flat = value.Flatten(0, 1); // [batch * seq, ...]
            Value real = rows is null ? flat : flat.IndexSelect(0, rows); // [rows, ...]
            return dtype is { } type ? real.To(type) : real;
        });
    }

    /// <summary>The rows of a batch in its flattened values. [rows]</summary>
    private IEnumerable<long> FindRows(PromptBatch batch) => batch.EnumerateRows().Select(row =>
    {
        int padding = padsRight ? 0 : batch.Length - batch.Texts[row.Text].Tokens.Length;
        return ((long)row.Text * batch.Length) + padding + row.Position;
    });

    /// <summary>Runs a session that was recorded; a job on a service is deleted when its values are here.</summary>
    public static Task StartAsync(Session session, CancellationToken cancellationToken) => session.IsRemote
        ? FollowAsync(session.SubmitAsync(cancellationToken), cancellationToken) : session.RunAsync(cancellationToken);

    /// <summary>Records a trace that saves what <paramref name="select"/> makes of each site.</summary>
    public static Saved[] RecordSites(TransformersModel model, IEnumerable<string> sites, int[][] tokens, Func<Value, Value> select)
    {
        using Trace trace = model.Trace();
        using (trace.Invoke(tokens)) { }
        return [.. sites.Select(site =>
        {
            using Invoke invoke = trace.Invoke();
            Saved saved = select(model.GetValue(site)).Save();
            trace.Stop();
            return saved;
        })];
    }

    /// <summary>Waits for a job and deletes it, so that the service does not keep the values until they expire.</summary>
    private static async Task FollowAsync(Task<Job> submission, CancellationToken cancellationToken)
    {
        Job job = await submission;
        try
        {
            await job.WaitAsync(cancellationToken);
        }
        finally
        {
            try
            {
                await job.DeleteAsync(CancellationToken.None); // cancels it if it has not ended
            }
            catch (NdifException)
            {
                // the service deletes the job when its time is over
            }
        }
    }

    private static async Task<TensorData[][]> GetResultsAsync(Task run, List<Saved[]> values)
    {
        await run;
        return [.. values.Select(batch => batch.Select(value => value.Tensor).ToArray())];
    }
}
