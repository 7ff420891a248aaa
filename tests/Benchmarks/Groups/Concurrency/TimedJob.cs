using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>A job that notes when its first token is there and when it has ended, and discards its values.</summary>
internal sealed class TimedJob : IRunSink, IDisposable
{
    public TimedJob(Plan plan) => Run = new JobRun(plan, this);

    public JobRun Run { get; }

    /// <summary>When the first token of a generation was there.</summary>
    public ClockReading? FirstToken { get; private set; }

    public ClockReading? End { get; private set; }

    public void AddTo(ModelScheduler scheduler) => scheduler.Add(Run, () =>
    {
        if (Run.Error is { } error) throw new InvalidOperationException(error.Message);
        End = ClockReading.Now;
    });

    public void OnTokenGenerated(Protocol.NewToken token) => FirstToken ??= ClockReading.Now;

    public void OnValueSaved(uint node, string name, object? value, bool isFinal) { }

    public void OnLogged(uint node, string text) { }

    public Protocol.Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) =>
        throw new NotSupportedException();

    public void OnWarning(uint node, string module, string message) { }

    public void Dispose() => Run.Dispose();
}
