using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;

namespace Ndif;

/// <summary>The common members of a trace and a session: branches, loops, lists, logs, training, and how they run.</summary>
public abstract partial class Tracer
{

    /// <summary>The recorder.</summary>
    /// <exception cref="InvalidOperationException">The scope is closed.</exception>
    internal abstract Recorder Open();

    /// <summary>
    /// Makes this trace or session the open one of the code that follows, until the result is disposed. It is needed where the trace was
    /// opened elsewhere: by an async method that has returned, or in an earlier cell of a notebook or script.
    /// </summary>
    /// <remarks>
    /// Which trace is open belongs to a flow of control (<see cref="AsyncLocal{T}"/>): it survives an await and reaches the methods that
    /// are called, and ends with the async method or cell that opened the trace. <see cref="Trace.Invoke(object)"/>, loops and branches,
    /// and operations on a value of the trace need no <c>Use</c>.
    /// </remarks>
    /// <exception cref="InvalidOperationException">The trace has run, or was disposed.</exception>
    /// <example><code>using (t.Use()) hidden = llm.Layers[1].Hidden.Save();</code></example>
    public IDisposable Use() => Open().Use();

    /// <summary>
    /// A branch on a value that is known only when the program runs: <c>t.If(score > 0, () => ...).ElseIf(..., () => ...).Else(() =>
    /// ...)</c>. The condition is a flag, a number or a tensor of one element; it holds if it is not zero.
    /// </summary>
    public Conditional If(Value condition, Action then) => new(Open(), condition, then);

    /// <summary>Repeats the body for each item of a list of numbers or values, or of the first dimension of a tensor.</summary>
    [OverloadResolutionPriority(1)] // an int[] converts to a Value too
    public void ForEach<T>(IEnumerable<T> items, Action<Value> body) => AddForEach(Open().Argument(items), body);

    /// <inheritdoc cref="ForEach{T}(IEnumerable{T}, Action{Value})"/>
    public void ForEach(Value items, Action<Value> body) => AddForEach(Open().Argument(items), body);

    /// <summary>
    /// Repeats the body while the condition holds, at most <paramref name="limit"/> times. One repetition more is an error of the run.
    /// </summary>
    public void While(Func<Value> condition, Action body, int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        Recorder recorder = Open();
        Argument? holds = null;
        uint first = recorder.RecordLoop("t.While", "repetition", () => holds = recorder.Argument(condition()));
        uint region = recorder.RecordLoop("t.While", "repetition", body);
        recorder.Add(new Node { While = new While { ConditionRegion = first, Condition = holds, Region = region, Limit = (uint)limit } });
    }

    /// <summary>Leaves the innermost loop.</summary>
    public void Break() => Open().Add(new Node { Break = new Break() });

    /// <summary>
    /// Runs the backward pass from a scalar: <c>t.Backward(loss, () => { g = hs.Grad.Save(); hs.Grad[..] = 0; })</c>. Within the block
    /// gradients can be read, edited in place and replaced, in the reverse of the order in which the values were computed. Edits propagate
    /// to earlier layers. The graph lives as long as its trace, so several backward passes can follow each other.
    /// </summary>
    /// <param name="loss">A tensor of one element, computed in a trace with <c>grad: true</c>.</param>
    /// <param name="gradients">The block that uses the gradients. Without it, <see cref="Value.Grad"/> can be read afterwards.</param>
    /// <param name="gradient">The gradient of the loss, with its shape; the loss then need not be a scalar. Default: 1.</param>
    public void Backward(Value loss, Action? gradients = null, Value? gradient = null)
    {
        Recorder recorder = Open();
        var backward = new Backward { Loss = recorder.Argument(loss), Gradient = gradient is null ? null : recorder.Argument(gradient) };
        backward.Region = recorder.RecordRegion(gradients ?? (() => { }));
        recorder.Add(new Node { Backward = backward });
    }

    /// <summary>
    /// A value to be trained: a leaf of autograd's graph, which lives as long as the run. Its <see cref="Value.Grad"/> adds up over
    /// backward passes until an optimizer's <see cref="Optimizer.ZeroGrad"/>.
    /// </summary>
    /// <param name="initial">A floating-point tensor; it is copied.</param>
    public Value Parameter(Value initial)
    {
        Recorder recorder = Open();
        return recorder.Value(new Node { NewParameter = new NewParameter { Initial = recorder.Argument(initial) } });
    }

    /// <summary>Stochastic gradient descent. PyTorch's <c>torch.optim.SGD</c></summary>
    public Optimizer SGD(
        IEnumerable<Value> parameters, double lr = 1e-3, double momentum = 0, double dampening = 0, double weightDecay = 0,
        bool nesterov = false) =>
        new(Open(), "sgd", parameters,
            ("lr", lr), ("momentum", momentum), ("dampening", dampening), ("weight_decay", weightDecay), ("nesterov", nesterov ? 1 : null));

    /// <summary>Adam (Kingma and Ba, 2015). PyTorch's <c>torch.optim.Adam</c></summary>
    public Optimizer Adam(
        IEnumerable<Value> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
        double weightDecay = 0) =>
        new(Open(), "adam", parameters, ("lr", lr), ("beta1", beta1), ("beta2", beta2), ("eps", eps), ("weight_decay", weightDecay));

    /// <summary>Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019). PyTorch's <c>torch.optim.AdamW</c></summary>
    public Optimizer AdamW(
        IEnumerable<Value> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8,
        double weightDecay = OptimizerSettings.DefaultAdamWWeightDecay) =>
        new(Open(), "adamw", parameters, ("lr", lr), ("beta1", beta1), ("beta2", beta2), ("eps", eps), ("weight_decay", weightDecay));

    /// <summary>
    /// Calls a function of this process in the middle of the run, also of a remote one, and uses its return value:
    /// <c>h[3].Hidden = t.Local(x => x * 2f, h[3].Hidden)</c>. The forward pass waits for it.
    /// </summary>
    /// <param name="timeout">
    /// How long the service waits. Default: a minute, and no longer than the service allows. A local run has no limit.
    /// </param>
    /// <exception cref="NdifException">
    /// LOCAL_CALL_FAILED from the run, if the time is up; what the function throws is thrown as it is.
    /// </exception>
    public Value Local(Func<TensorData, TensorData> function, Value value, TimeSpan? timeout = null) =>
        Local([value], items => function(SingleTensor(items)), timeout);

    /// <summary>The same for a callback without a result.</summary>
    /// <exception cref="ArgumentException">The function is async: the pass would not wait for what follows its first await.</exception>
    public void Local(Action<TensorData> function, Value value, TimeSpan? timeout = null)
    {
        AsynchronousRecording.RefuseCallback(function);
        Local([value], items =>
        {
            function(SingleTensor(items));
            return null;
        }, timeout);
    }

    /// <summary>
    /// The same for several values of any kind: tensors (<see cref="TensorData"/>), numbers, texts, tuples and lists
    /// (<c>object?[]</c>), dictionaries. The function returns one of these.
    /// </summary>
    public Value Local(IReadOnlyList<Value> values, Func<object?[], object?> function, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(function);
        Recorder recorder = Open();
        double seconds = (timeout ?? TimeSpan.FromMinutes(1)).TotalSeconds;
        var call = new LocalCall { Callback = (uint)recorder.Callbacks.Count, TimeoutSeconds = seconds, Returns = true };
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(call.TimeoutSeconds, 0, nameof(timeout));
        call.Values.AddRange(values.Select(recorder.Argument));
        recorder.Callbacks.Add(function);
        return recorder.Value(new Node { Local = call });
    }

    /// <summary>Calls a function with a value when it is there: to look at it, or to stop in a debugger. Local runs only.</summary>
    /// <exception cref="NdifException">UNSUPPORTED in a remote trace.</exception>
    public void Inspect(Value value, Action<TensorData> function)
    {
        if (IsRemote)
            throw Errors.CreateException(ErrorCode.Unsupported,
                "Inspect is for local runs: the service would wait for your debugger.",
                "Use t.Local(...), which has a time limit, or t.Log(...).");
        Local(function, value);
    }

    private static TensorData SingleTensor(object?[] values) => new Saved(values[0]).Tensor;

    /// <summary>Prints when the values are computed; on the service it comes back as a log event at once.</summary>
    public void Log(params object?[] values)
    {
        Recorder recorder = Open();
        recorder.Add(new Node { Log = new Log { Values = { values.Select(recorder.Argument) } } });
    }

    /// <summary>A list that the program fills while it runs.</summary>
    public ValueList List(params Value[] items) => new(Open(), items);

    /// <summary>A dictionary that the program fills while it runs.</summary>
    public ValueMap Map() => new(Open());

    /// <summary>A value that the program may set anew, in a loop or branch.</summary>
    public Variable Variable(Value initial) => new(Open(), initial);

    private void AddForEach(Argument items, Action<Value> body)
    {
        Recorder recorder = Open();
        AsynchronousRecording.Refuse(body);
        uint region = recorder.RecordLoop("t.ForEach", "repetition", () => body(recorder.RegionParameter("item")));
        recorder.Add(new Node { ForEach = new ForEach { Items = items, Region = region } });
    }
}
