using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>Jobs over the plain protocol, so that only the service is measured.</summary>
internal static class JobClientExtensions
{
    /// <summary>Submits a job and follows it to its end.</summary>
    /// <returns>The job as the service reports it after its end.</returns>
    /// <exception cref="InvalidOperationException">The job did not complete.</exception>
    public static async Task<JobInfo> RunJobAsync(this Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program,
        CancellationToken cancellationToken)
    {
        string id = await calls.SubmitJobAsync(user, program, cancellationToken);
        await calls.WaitForStateAsync(user, id, JobState.Completed, cancellationToken);
        return await calls.GetJobAsync(new GetJobRequest { JobId = id }, user.Headers, cancellationToken: cancellationToken);
    }

    public static async Task<string> SubmitJobAsync(this Inference.InferenceClient calls, BenchmarkUser user, Protocol.Program program,
        CancellationToken cancellationToken) =>
        (await calls.SubmitAsync(new SubmitRequest { Program = program }, user.Headers, cancellationToken: cancellationToken)).Job.Id;

    /// <summary>Follows a job until it is in a state, and returns the event of that state.</summary>
    /// <exception cref="InvalidOperationException">The job ended in another state.</exception>
    public static async Task<Event> WaitForStateAsync(this Inference.InferenceClient calls, BenchmarkUser user, string id, JobState state,
        CancellationToken cancellationToken)
    {
        using AsyncServerStreamingCall<Event> watch =
            calls.Watch(new WatchRequest { JobId = id }, user.Headers, cancellationToken: cancellationToken);
        StateChanged? last = null;
        await foreach (Event jobEvent in watch.ResponseStream.ReadAllAsync(cancellationToken))
        {
            last = jobEvent.State ?? last;
            if (last?.State == state) return jobEvent;
        }
        throw new InvalidOperationException($"The job ended as {last?.State}, not {state}: {last?.Error?.Message}");
    }
}
