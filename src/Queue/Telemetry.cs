using System.Diagnostics;
using System.Diagnostics.Metrics;
using Ndif.Queue.Rules;

namespace Ndif.Queue;

/// <summary>The metrics and traces of the queue. Add the activity source and the meter by <see cref="Name"/>.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Queue";

    private static readonly ActivitySource _source = new(Name);
    private static readonly Meter _meter = new(Name);

    private static readonly Counter<long> _submitted = _meter.CreateCounter<long>("ndif.queue.submitted", "{job}", "Jobs accepted");
    private static readonly Counter<long> _leases = _meter.CreateCounter<long>("ndif.queue.leases", "{lease}", "Jobs given to a worker");
    private static readonly Counter<long> _expiries =
        _meter.CreateCounter<long>("ndif.queue.expiries", "{lease}", "Leases lost with their worker");
    private static readonly Counter<long> _deadLetters =
        _meter.CreateCounter<long>("ndif.queue.dead_letters", "{job}", "Jobs failed because their workers were lost");
    private static readonly Counter<long> _fenced =
        _meter.CreateCounter<long>("ndif.queue.fenced", "{event}", "Events refused because the lease was lost");
    private static readonly Counter<long> _tokens =
        _meter.CreateCounter<long>("ndif.usage.tokens", "{token}", "Tokens of ended jobs, as charged to their owners");
    private static readonly Counter<long> _passes =
        _meter.CreateCounter<long>("ndif.usage.passes", "{pass}", "Passes of ended jobs, as charged to their owners");
    private static readonly Counter<double> _compute =
        _meter.CreateCounter<double>("ndif.usage.compute_seconds", "s", "Compute time of ended jobs, as charged to their owners");
    private static readonly Counter<long> _resultBytes =
        _meter.CreateCounter<long>("ndif.usage.result_bytes", "By", "Result bytes of ended jobs, as charged to their owners");
    private static readonly Histogram<double> _wait =
        _meter.CreateHistogram<double>("ndif.queue.wait", "s", "From submission to the first lease");

    /// <summary>Starts the span of a submission. The worker continues the trace from it (<see cref="Lease.TraceParent"/>).</summary>
    internal static Activity? StartSubmitActivity(JobSubmission submission) =>
        _source.StartActivity("queue submit", ActivityKind.Producer)
            ?.SetTag("ndif.job", submission.JobId).SetTag("ndif.model", submission.Model);

    internal static void JobSubmitted(string model) => _submitted.Add(1, ModelTag(model));

    internal static void JobLeased(Lease lease, DateTimeOffset now)
    {
        _leases.Add(1, ModelTag(lease.Model));
        if (lease.Attempt == 1) _wait.Record(Math.Max(0, (now - lease.Submitted).TotalSeconds), ModelTag(lease.Model));
    }

    internal static void LeaseExpired(string model, bool isDeadLetter)
    {
        _expiries.Add(1, ModelTag(model));
        if (isDeadLetter) _deadLetters.Add(1, ModelTag(model));
    }

    /// <summary>
    /// Counts usage by model, in the process that ended the job. Keys are too many for a label; usage by key is in the usage records.
    /// </summary>
    internal static void Charged(string model, UsageCharge charge)
    {
        _tokens.Add((long)charge.Tokens, ModelTag(model));
        _passes.Add((long)charge.Passes, ModelTag(model));
        _compute.Add(charge.ComputeMilliseconds / 1000.0, ModelTag(model));
        _resultBytes.Add((long)charge.ResultBytes, ModelTag(model));
    }

    internal static void EventFenced(string model) => _fenced.Add(1, ModelTag(model));

    private static KeyValuePair<string, object?> ModelTag(string model) => new("model", model);
}
