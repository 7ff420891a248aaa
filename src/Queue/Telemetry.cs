using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Ndif.Queue;

/// <summary>What the queue can be watched by. Add the source and the meter by <see cref="Name"/>.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Queue";

    private static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Submitted = Meter.CreateCounter<long>("ndif.queue.submitted", "{job}", "Jobs accepted");
    private static readonly Counter<long> Leases = Meter.CreateCounter<long>("ndif.queue.leases", "{lease}", "Jobs given to a worker");
    private static readonly Counter<long> Expiries = Meter.CreateCounter<long>("ndif.queue.expiries", "{lease}", "Leases lost with their worker");
    private static readonly Counter<long> DeadLetters = Meter.CreateCounter<long>("ndif.queue.dead_letters", "{job}", "Jobs failed because their workers were lost");
    private static readonly Counter<long> Fenced = Meter.CreateCounter<long>("ndif.queue.fenced", "{event}", "Events refused because the lease was lost");
    private static readonly Counter<long> Tokens = Meter.CreateCounter<long>("ndif.usage.tokens", "{token}", "Tokens of ended jobs, as charged to their owners");
    private static readonly Counter<long> Passes = Meter.CreateCounter<long>("ndif.usage.passes", "{pass}", "Passes of ended jobs, as charged to their owners");
    private static readonly Counter<double> Compute = Meter.CreateCounter<double>("ndif.usage.compute_seconds", "s", "Compute time of ended jobs, as charged to their owners");
    private static readonly Counter<long> ResultBytes = Meter.CreateCounter<long>("ndif.usage.result_bytes", "By", "Result bytes of ended jobs, as charged to their owners");
    private static readonly Histogram<double> Wait = Meter.CreateHistogram<double>("ndif.queue.wait", "s", "From submission to the first lease");

    /// <summary>A span of the submission; the job's trace continues from it in the worker (<see cref="Lease.TraceParent"/>).</summary>
    internal static Activity? Submitting(JobSubmission submission) =>
        Source.StartActivity("queue submit", ActivityKind.Producer)?.SetTag("ndif.job", submission.JobId).SetTag("ndif.model", submission.Model);

    internal static void JobSubmitted(string model) => Submitted.Add(1, Model(model));

    internal static void JobLeased(Lease lease, DateTimeOffset now)
    {
        Leases.Add(1, Model(lease.Model));
        if (lease.Attempt == 1) Wait.Record(Math.Max(0, (now - lease.Submitted).TotalSeconds), Model(lease.Model));
    }

    internal static void LeaseExpired(string model, bool dead)
    {
        Expiries.Add(1, Model(model));
        if (dead) DeadLetters.Add(1, Model(model));
    }

    /// <summary>By model, in the process that ended the job; keys are too many for a label, and have their accounts.</summary>
    internal static void Charged(string model, Charge charge)
    {
        Tokens.Add((long)charge.Tokens, Model(model));
        Passes.Add((long)charge.Passes, Model(model));
        Compute.Add(charge.ComputeMilliseconds / 1000.0, Model(model));
        ResultBytes.Add((long)charge.ResultBytes, Model(model));
    }

    internal static void EventFenced(string model) => Fenced.Add(1, Model(model));

    private static KeyValuePair<string, object?> Model(string model) => new("model", model);
}
