using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// The calls of modules that a part of the program is about. In a generation module calls are its steps: the prompt's pass is
/// 0. Unrolled while recording, so the step is a plain int and a plain <c>if</c> works.
/// </summary>
public sealed class Iteration
{
    private readonly Trace _trace;

    internal Iteration(Trace trace) => _trace = trace;

    /// <summary>One call.</summary>
    public IEnumerable<int> this[int step] => step >= 0 ? Unroll([step]) : throw Negative();

    /// <summary>These calls, in their order, each once.</summary>
    public IEnumerable<int> this[params int[] steps] => steps.All(s => s >= 0) ? Unroll([.. steps.Distinct().Order()]) : throw Negative();

    /// <summary>A range of calls; <c>[..]</c> is all of them.</summary>
    public IEnumerable<int> this[Range range] => Unroll(Steps(range, 1));

    /// <summary>Every so-many-th call of a range: <c>[.., 2]</c> is every other.</summary>
    public IEnumerable<int> this[Range range, int stride] =>
        stride > 0 ? Unroll(Steps(range, stride)) : throw new ArgumentOutOfRangeException(nameof(stride), stride, "A stride is at least 1.");

    /// <summary>
    /// Every call of the range as one recorded region, for counts that are not known while recording; the step is a value.
    /// </summary>
    public void Each(Action<Value> body, Range? range = null, int stride = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        Record(_trace.Open(), body, range ?? Range.All, stride);
    }

    /// <summary>The same in whatever trace is open.</summary>
    internal static void Record(Recorder recorder, Action<Value> body, Range over, int stride = 1)
    {
        if (over.Start.IsFromEnd || (over.End.IsFromEnd && over.End.Value != 0)) throw Negative();
        if (recorder.Scopes.Any(s => s is StepLoop)) throw new InvalidOperationException("An iteration cannot be opened inside of another one.");
        var loop = new StepLoop { Each = new StepRange { Start = (uint)over.Start.Value, Stride = (uint)stride } };
        if (!over.End.IsFromEnd) loop.Each.Stop = (uint)over.End.Value;
        CallIndex before = recorder.Call0;
        recorder.Scopes.Push(loop);
        recorder.Call0 = new CallIndex { Step = new Nothing() };
        try
        {
            loop.Region = recorder.InRegion(() => body(recorder.RegionParameter("step")));
        }
        finally
        {
            recorder.Call0 = before;
            recorder.Scopes.Pop();
        }
        recorder.Add(new Node { Steps = loop });
    }

    private List<int> Steps(Range range, int stride)
    {
        if (range.Start.IsFromEnd) throw Negative();
        int stop = !range.End.IsFromEnd ? range.End.Value : range.End.Value == 0 ? All() : throw Negative();
        List<int> steps = [];
        for (int step = range.Start.Value; step < stop; step += stride) steps.Add(step);
        return steps;
    }

    /// <summary>How many calls an open end means: the generation's bound, or the one forward pass.</summary>
    private int All() => _trace.Node.Mode == Mode.Generate
        ? _trace.Recorder.Scopes.OfType<Invoke>().FirstOrDefault()?.MaxNewTokens
            ?? (_trace.Node.Generation.HasMaxNewTokens ? (int)_trace.Node.Generation.MaxNewTokens : ((LanguageModel)_trace.Model).MaxNewTokens)
        : _trace.Model is LanguageModel ? 1
        : throw new InvalidOperationException("How often the modules of this model are called is not known while recording; give the range an end, or use Iter.Each.");

    private static ArgumentOutOfRangeException Negative() => new("step", "Iteration cannot be negative.");

    private IEnumerable<int> Unroll(List<int> steps)
    {
        Recorder recorder = _trace.Open();
        if (recorder.Scopes.Any(s => s is StepLoop)) throw new InvalidOperationException("An iteration cannot be opened inside of another one.");
        var loop = new StepLoop();
        CallIndex before = recorder.Call0;
        recorder.Scopes.Push(loop);
        try
        {
            foreach (int step in steps)
            {
                loop.Unrolled.Add(new Step { Index = (uint)step, Region = recorder.OpenRegion() });
                recorder.Call0 = new CallIndex { At = (uint)step };
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
            recorder.Call0 = before;
            recorder.Scopes.Pop();
            if (loop.Unrolled.Count > 0) recorder.Add(new Node { Steps = loop });
        }
    }
}
