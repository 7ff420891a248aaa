using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>
/// A client process. It submits its share of the jobs, follows each job to its end across lost connections and processes, reads it again
/// through the other gateway, and writes its observations. It uses the protocol without the SDK, so that no retry of the SDK hides a fault.
/// </summary>
internal sealed class ClientProcess(int index, int clientCount, int jobs, int seed, string folder, string[] gateways, string key)
{
    private const int ConcurrentJobs = 3;
    private static readonly TimeSpan _jobTimeout = TimeSpan.FromMinutes(3), _callTimeout = TimeSpan.FromSeconds(10);

    private readonly IReadOnlyList<Workload> _workloads = Workload.ReadAll(folder);
    private readonly Inference.InferenceClient[] _services =
        [.. gateways.Select(address => new Inference.InferenceClient(GrpcChannel.ForAddress(address, new GrpcChannelOptions
    {
        MaxReceiveMessageSize = null,
        HttpHandler = new SocketsHttpHandler
        {
            EnableMultipleHttp2Connections = true, ConnectTimeout = TimeSpan.FromSeconds(2),
            KeepAlivePingDelay = TimeSpan.FromSeconds(2), KeepAlivePingTimeout = TimeSpan.FromSeconds(2),
                KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always,
        },
    })))];
    private readonly Metadata _headers = new() { { "authorization", $"Bearer {key}" } };
    private int _next = index;

    public async Task RunAsync() => await Task.WhenAll(Enumerable.Range(0, ConcurrentJobs).Select(_ => RunJobsAsync()));

    private async Task RunJobsAsync()
    {
        while (Interlocked.Add(ref _next, clientCount) - clientCount is var number && number < jobs)
        {
            while (JobStartLimit.Read(folder) <= number) await Task.Delay(20);
            Console.WriteLine((await RunJobAsync(number)).ToJson());
        }
    }

    private async Task<Outcome> RunJobAsync(int number)
    {
        var random = new Random(HashCode.Combine(seed, number) ^ seed * 7919 ^ number);
        Workload work = _workloads[random.Next(_workloads.Count)];
        DateTimeOffset start = DateTimeOffset.UtcNow;
        var outcome = new Outcome { Id = $"c{number}-{Guid.NewGuid():N}", Work = work.Name };
        long began = Stopwatch.GetTimestamp();
        using var over = new CancellationTokenSource(_jobTimeout);
        try
        {
            // A blocking client runs the job on one stream. It sometimes disconnects early, which cancels the job, as a broken stream does.
            int first = random.Next(2);
            List<Event>? streamed = null;
            if (random.Next(4) == 0)
            {
                outcome.Blocking = true;
                streamed =
                    await RunAsync(outcome, work, first, disconnectAfter: random.Next(5) == 0 ? random.Next(4) : int.MaxValue, over.Token);
            }

            // Other clients submit the job until it is accepted, and sometimes submit it again, as after a lost response.
            else for (int times = random.Next(5) == 0 ? 2 : 1; times > 0; times--)
            {
                JobInfo accepted =
                    (await RetryAsync(first + times, (service, options) =>
                        service.SubmitAsync(new SubmitRequest { Program = work.Program, JobId = outcome.Id }, options).ResponseAsync,
                        over.Token)).Job;
                if (accepted.Id != outcome.Id) outcome.Violations.Add($"accepted as {accepted.Id}");
            }
            Task cancelling = Task.CompletedTask;
            if (!outcome.Blocking && random.Next(10) == 0)
            {
                outcome.Cancelling = true;
                cancelling = CancelAsync(outcome.Id, random.Next(600), first, over.Token);
            }

            List<Event> events = await WatchAsync(outcome, first, over.Token);
            await cancelling;
            if (streamed is not null && !events.Take(streamed.Count).SequenceEqual(streamed))
                outcome.Violations.Add("on its own stream other events came than were kept");
            await CheckAsync(outcome, work, events, over.Token);

            List<Event> again = await WatchAsync(outcome, first + 1, over.Token);
            if (!events.SequenceEqual(again))
                outcome.Violations.Add($"the second look showed {again.Count} events, other ones than the {events.Count} of the first");
            JobInfo info =
                await RetryAsync(first, (service, options) => service.GetJobAsync(new GetJobRequest { JobId = outcome.Id }, options)
                    .ResponseAsync, over.Token);
            if (info.State != outcome.State) outcome.Violations.Add($"it ended as {outcome.State} and is {info.State}");
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            outcome.Violations.Add($"no end after {Stopwatch.GetElapsedTime(began).TotalSeconds:0} s; last event: {outcome.LastEvent}");
        }
        catch (Exception unexpected)
        {
            outcome.Violations.Add($"refused or broken: {unexpected.Message}");
        }
        if (Disturbances.Occurred(folder, Disturbances.Restore, start))
        {
            outcome.Restored = true; // it may be gone, or have run again after its end; its results are right, and nothing hangs
            outcome.Violations = [.. outcome.Violations.Where(what =>
                what.Contains(", value ", StringComparison.Ordinal) || what.StartsWith("no end", StringComparison.Ordinal))];
        }
        else if (outcome.State is JobState.Failed && outcome.Violations.Count > 0
            && Disturbances.Occurred(folder, Disturbances.FullDisk, start))
        {
            outcome.Violations.RemoveAll(what => what.Contains("no space left", StringComparison.Ordinal));
        }
        return outcome;
    }

    private async Task CheckAsync(Outcome outcome, Workload workload, List<Event> events, CancellationToken cancellationToken)
    {
        for (int i = 0; i < events.Count; i++)
            if (events[i].Sequence != (ulong)i + 1) outcome.Violations.Add($"event {i + 1} has the number {events[i].Sequence}");
        List<StateChanged> states = [.. events.Where(e => e.State is not null).Select(e => e.State)];
        if (states.Count(s => s.State.IsTerminal()) != 1 || !events[^1].IsTerminal())
            outcome.Violations.Add($"its states are {string.Join(", ", states.Select(s => s.State))}");
        outcome.State = states[^1].State;
        outcome.Ended = events[^1].Time.ToDateTimeOffset();
        outcome.Runs.AddRange(events.Where(e => e.State?.State == JobState.Running)
            .Select(e => new AttemptStart(e.State.Attempt, e.State.Worker, e.Time.ToDateTimeOffset())));
        outcome.Queued.AddRange(
            events.Where((e, i) => e.State?.State == JobState.Queued
                && !events.Take(i).TakeLast(1).Any(before => before.State?.State == JobState.Queued))
                .Select(e => e.Time.ToDateTimeOffset()));
        if (!outcome.Runs.Select(run => run.Attempt).SequenceEqual(outcome.Runs.Select(run => run.Attempt).Distinct().Order()))
            outcome.Violations.Add("an attempt began twice");
        switch (outcome.State)
        {
            case JobState.Cancelled when !outcome.Cancelling:
                outcome.Violations.Add("nobody asked for its cancellation");
                break;
            case JobState.Failed when states[^1].Error.Code != ErrorCode.WorkerLost: // only the loss of three workers may make a job fail
                outcome.Violations.Add($"it failed on {states[^1].Worker} at {outcome.Ended:HH:mm:ss.fff}: {states[^1].Error.Message}");
                break;
            case JobState.Completed:
                await CheckResultAsync(outcome, workload, events, cancellationToken);
                break;
        }
    }

    /// <summary>
    /// Checks the values and tokens of the attempt that completed: each occurs once and equals that of the experiment alone.
    /// </summary>
    private async Task CheckResultAsync(Outcome outcome, Workload workload, List<Event> events, CancellationToken cancellationToken)
    {
        List<Event> attempt = events[(events.FindLastIndex(e => e.State?.State == JobState.Running) + 1)..];
        ILookup<uint, SavedValue> values = attempt.Where(e => e.Value is not null).Select(e => e.Value).ToLookup(value => value.Node);
        if (values.Count != workload.Expected.Count) outcome.Violations.Add($"{values.Count} values in place of {workload.Expected.Count}");
        foreach (SavedValue solo in workload.Expected)
        {
            if (values[solo.Node].ToArray() is not [var got])
            {
                outcome.Violations.Add($"value {solo.Node} came {values[solo.Node].Count()} times");
                continue;
            }
            Data data = got.Data.Clone();
            await DownloadBlobsAsync(data, cancellationToken);
            if (ResultComparer.FindDifference(solo.Data, data) is { } difference)
                outcome.Violations.Add($"{workload.Name}, value {solo.Node}: {difference}");
        }
        uint[] steps =
            [.. attempt.SelectMany(e => e.Token is { } one ? [one] : e.Tokens?.Tokens.ToArray() ?? []).Select(token => token.Step)];
        int expected = workload.Name.StartsWith("tokens-", StringComparison.Ordinal) ? int.Parse(workload.Name[7..]) : 0;
        if (!steps.SequenceEqual(Enumerable.Range(0, expected).Select(i => (uint)i)))
            outcome.Violations.Add($"tokens came as {string.Join(" ", steps)}");
    }

    private async Task DownloadBlobsAsync(Data data, CancellationToken cancellationToken)
    {
        foreach (Tensor tensor in data.BlobTensors())
        {
            byte[] bytes = await RetryAsync(0, async (service, options) =>
            {
                using var download = new MemoryStream();
                using AsyncServerStreamingCall<BlobChunk> call = service.GetBlob(new GetBlobRequest { Id = tensor.Blob.Id }, options);
                await foreach (BlobChunk chunk in call.ResponseStream.ReadAllAsync(cancellationToken)) chunk.Data.WriteTo(download);
                return download.ToArray();
            }, cancellationToken);
            tensor.Inline = UnsafeByteOperations.UnsafeWrap(bytes);
        }
    }

    /// <summary>
    /// Runs a job on one stream to its end, or disconnects after some events. If the stream breaks, opens another one for the same job, as
    /// the SDK does; the gateway may have cancelled the job before.
    /// </summary>
    private async Task<List<Event>> RunAsync(Outcome outcome, Workload workload, int gateway, int disconnectAfter,
        CancellationToken cancellationToken)
    {
        while (true)
        {
            List<Event> events = [];
            try
            {
                using AsyncDuplexStreamingCall<RunRequest, Event> call = _services[gateway++ % _services.Length]
                    .Run(_headers, cancellationToken: cancellationToken);
                await call.RequestStream.WriteAsync(
                    new RunRequest { Submit = new SubmitRequest { Program = workload.Program, JobId = outcome.Id } }, cancellationToken);
                await foreach (Event jobEvent in call.ResponseStream.ReadAllAsync(cancellationToken))
                {
                    events.Add(jobEvent);
                    if (jobEvent.IsTerminal()) return events;
                    if (events.Count < disconnectAfter) continue;
                    // half of these jobs have another follower, at the other gateway: they must go on, unless an earlier stream broke
                    outcome.Cancelling |= disconnectAfter % 2 == 1
                        || !await FollowInsteadAsync(outcome, workload, call, gateway, cancellationToken);
                    return events; // disposing the call resets the stream
                }
                outcome.Violations.Add("its stream ended before it did, and well");
                return events;
            }
            catch (Exception lost) when ((lost is HttpRequestException or IOException || lost is RpcException rpc && IsTransient(rpc))
                && !cancellationToken.IsCancellationRequested)
            {
                outcome.Cancelling = true;
                await Task.Delay(100, cancellationToken);
            }
            catch (RpcException) when (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException(cancellationToken);
            }
        }
    }

    /// <summary>
    /// Follows a job on a second stream through another gateway, drops the first, and reads to the end of the job. Returns false if the
    /// second stream broke, so that the job may be cancelled.
    /// </summary>
    private async Task<bool> FollowInsteadAsync(Outcome outcome, Workload workload, AsyncDuplexStreamingCall<RunRequest, Event> first,
        int gateway, CancellationToken cancellationToken)
    {
        try
        {
            using AsyncDuplexStreamingCall<RunRequest, Event> second = _services[gateway % _services.Length]
                .Run(_headers, cancellationToken: cancellationToken);
            await second.RequestStream.WriteAsync(
                new RunRequest { Submit = new SubmitRequest { Program = workload.Program, JobId = outcome.Id } }, cancellationToken);
            if (!await second.ResponseStream.MoveNext(cancellationToken)) return false;
            first.Dispose();
            outcome.Followed = true;
            while (!second.ResponseStream.Current.IsTerminal())
                if (!await second.ResponseStream.MoveNext(cancellationToken)) return false;
            return true;
        }
        catch (Exception lost) when ((lost is HttpRequestException or IOException or InvalidOperationException
            || lost is RpcException rpc && IsTransient(rpc)) && !cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task CancelAsync(string id, int milliseconds, int gateway, CancellationToken cancellationToken)
    {
        await Task.Delay(milliseconds, cancellationToken);
        await RetryAsync(gateway, (service, options) => service.CancelAsync(new CancelRequest { JobId = id }, options).ResponseAsync,
            cancellationToken);
    }

    /// <summary>Returns all events of a job until its end, and changes the gateway when a connection is lost.</summary>
    private async Task<List<Event>> WatchAsync(Outcome outcome, int gateway, CancellationToken cancellationToken)
    {
        List<Event> events = [];
        for (; events.Count == 0 || !events[^1].IsTerminal(); gateway++)
        {
            try
            {
                using AsyncServerStreamingCall<Event> call = _services[gateway % _services.Length]
                    .Watch(new WatchRequest { JobId = outcome.Id, FromSequence = (ulong)events.Count + 1 }, _headers,
                        cancellationToken: cancellationToken);
                await foreach (Event jobEvent in call.ResponseStream.ReadAllAsync(cancellationToken)) Add(jobEvent);
            }
            catch (RpcException lost) when (IsTransient(lost) && !cancellationToken.IsCancellationRequested)
            {
                await Task.Delay(100, cancellationToken);
            }
            catch (RpcException) when (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException(cancellationToken);
            }
        }
        return events;

        void Add(Event jobEvent)
        {
            events.Add(jobEvent);
            outcome.LastEvent = $"{jobEvent.Sequence}, {jobEvent.Time.ToDateTimeOffset():HH:mm:ss.fff}, "
                + $"{jobEvent.KindCase} {jobEvent.State?.State} {jobEvent.State?.Worker}";
        }
    }

    /// <summary>Calls the gateways alternately until one responds.</summary>
    private async Task<T> RetryAsync<T>(int gateway, Func<Inference.InferenceClient, CallOptions, Task<T>> call,
        CancellationToken cancellationToken)
    {
        for (; ; gateway++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                return await call(_services[gateway % _services.Length],
                    new CallOptions(_headers, DateTime.UtcNow + _callTimeout, cancellationToken));
            }
            catch (RpcException lost) when (IsTransient(lost) && !cancellationToken.IsCancellationRequested)
            {
                await Task.Delay(100, cancellationToken);
            }
        }
    }

    /// <summary>
    /// True for the errors of a lost connection or gateway, and of a quota that is full at the moment. The channel reports some lost
    /// connections as "internal".
    /// </summary>
    internal static bool IsTransient(RpcException lost) =>
        lost.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded or StatusCode.Cancelled or StatusCode.ResourceExhausted
        || (lost.StatusCode is StatusCode.Internal && (lost.InnerException ?? lost.Status.DebugException) is HttpRequestException
            or IOException);
}
