using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// Selects the calls of modules to which a part of the program refers. In a generation the calls are its steps; the pass of the prompt is
/// step
/// 0. A loop is unrolled while it is recorded, so that the step is an int and C#'s <c>if</c> works.
/// </summary>
public sealed class Iteration
{
    private readonly Trace _trace;

    internal Iteration(Trace trace) => _trace = trace;

    /// <summary>One call.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The step is negative.</exception>
    public IEnumerable<int> this[int step] => step >= 0 ? Unroll([step]) : throw NegativeStep();

    /// <summary>These calls, each once, in ascending order.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A step is negative.</exception>
    public IEnumerable<int> this[params int[] steps] =>
        steps.All(s => s >= 0) ? Unroll([.. steps.Distinct().Order()]) : throw NegativeStep();

    /// <summary>A range of calls; <c>[..]</c> is all.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range counts from the end.</exception>
    public IEnumerable<int> this[Range range] => Unroll(ResolveSteps(range, 1));

    /// <summary>The calls of a range with a distance of <paramref name="stride"/>: <c>[.., 2]</c> is every other call.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range counts from the end, or the stride is not positive.</exception>
    public IEnumerable<int> this[Range range, int stride] =>
        stride > 0 ? Unroll(ResolveSteps(range, stride))
            : throw new ArgumentOutOfRangeException(nameof(stride), stride, "A stride is at least 1.");

    /// <summary>
    /// Records the body once for all calls of a range. The number of calls need not be known while recording, and the step is a value.
    /// </summary>
    /// <param name="body">Records the operations; its argument is the number of the call.</param>
    /// <param name="range">The calls; all by default.</param>
    /// <param name="stride">The distance of two calls.</param>
    public void Each(Action<Value> body, Range? range = null, int stride = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        RecordLoop(_trace.Open(), body, range ?? Range.All, stride);
    }

    /// <summary>Records such a loop into the open trace.</summary>
    internal static void RecordLoop(Recorder recorder, Action<Value> body, Range range, int stride = 1)
    {
        AsynchronousRecording.Refuse(body);
        if (range.Start.IsFromEnd || (range.End.IsFromEnd && range.End.Value != 0)) throw NegativeStep();
        if (recorder.Scopes.Any(scope => scope is StepLoop))
            throw new InvalidOperationException("An iteration cannot be opened inside of another one.");
        var loop = new StepLoop { Each = new StepRange { Start = (uint)range.Start.Value, Stride = (uint)stride } };
        if (!range.End.IsFromEnd) loop.Each.Stop = (uint)range.End.Value;
        CallIndex outerCall = recorder.CurrentCall;
        recorder.Scopes.Push(loop);
        recorder.CurrentCall = new CallIndex { Step = new Nothing() };
        try
        {
            loop.Region = recorder.RecordLoop("Iter.Each", "step", () => body(recorder.RegionParameter("step")));
        }
        finally
        {
            recorder.CurrentCall = outerCall;
            recorder.Scopes.Pop();
        }
        recorder.Add(new Node { Steps = loop });
    }

    private List<int> ResolveSteps(Range range, int stride)
    {
        if (range.Start.IsFromEnd) throw NegativeStep();
        int stop = !range.End.IsFromEnd ? range.End.Value : range.End.Value == 0 ? GetCallCount() : throw NegativeStep();
        List<int> steps = [];
        for (int step = range.Start.Value; step < stop; step += stride) steps.Add(step);
        return steps;
    }

    /// <summary>The number of calls of a range without an end: the maximum number of new tokens, or one for a forward pass.</summary>
    private int GetCallCount() => _trace.Node.Mode == Mode.Generate
        ? _trace.Recorder.Scopes.OfType<Invoke>().FirstOrDefault()?.MaxNewTokens
            ?? (_trace.Node.Generation.HasMaxNewTokens ? (int)_trace.Node.Generation.MaxNewTokens
                : ((LanguageModel)_trace.Model).GetMaxNewTokens(_trace.Node.Generation))
        : _trace.Model is TransformersModel ? 1
        : throw new InvalidOperationException("How often the modules of this model are called is not known while recording; "
            + "give the range an end, or use Iter.Each.");

    private static ArgumentOutOfRangeException NegativeStep() => new("step", "Iteration cannot be negative.");

    private IEnumerable<int> Unroll(List<int> steps)
    {
        Recorder recorder = _trace.Open();
        if (recorder.Scopes.Any(scope => scope is StepLoop))
            throw new InvalidOperationException("An iteration cannot be opened inside of another one.");
        var loop = new StepLoop();
        CallIndex outerCall = recorder.CurrentCall;
        recorder.Scopes.Push(loop);
        using IDisposable continuation = recorder.Use();
        try
        {
            foreach (int step in steps)
            {
                loop.Unrolled.Add(new Step { Index = (uint)step, Region = recorder.OpenRegion() });
                recorder.CurrentCall = new CallIndex { At = (uint)step };
                try
                {
                    yield return step;
                }
                finally
                {
                    recorder.CloseRegion();
                }
            }
        }
        finally
        {
            recorder.CurrentCall = outerCall;
            recorder.Scopes.Pop();
            if (loop.Unrolled.Count > 0) recorder.Add(new Node { Steps = loop });
        }
    }
}
