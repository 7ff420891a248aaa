using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>What a trace and a session have in common: branches, loops, lists, logs.</summary>
public abstract class Scope
{
    private protected Scope() { }

    /// <summary>The recorder, if the scope is still open.</summary>
    internal abstract Recorder Open();

    /// <summary>
    /// A branch on a value that is known only when the program runs: <c>t.If(score > 0, () => ...).ElseIf(..., () => ...).Else(() => ...)</c>.
    /// A tensor of one element counts as its truth.
    /// </summary>
    public Branching If(Value condition, Action then) => new(Open(), condition, then);

    /// <summary>Repeats the body for each item: of a list of numbers or values, or of a tensor's first dimension.</summary>
    [OverloadResolutionPriority(1)] // an int[] is a Value too
    public void ForEach<T>(IEnumerable<T> items, Action<Value> body) => Each(Open().Argument(items), body);

    /// <inheritdoc cref="ForEach{T}(IEnumerable{T}, Action{Value})"/>
    public void ForEach(Value items, Action<Value> body) => Each(Open().Argument(items), body);

    /// <summary>Repeats the body while the condition holds, at most <paramref name="limit"/> times; beyond that it is an error.</summary>
    public void While(Func<Value> condition, Action body, int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        Recorder recorder = Open();
        Argument? holds = null;
        uint first = recorder.InRegion(() => holds = recorder.Argument(condition()));
        uint region = recorder.InRegion(body);
        recorder.Add(new Node { While = new While { ConditionRegion = first, Condition = holds, Region = region, Limit = (uint)limit } });
    }

    /// <summary>Leaves the innermost loop.</summary>
    public void Break() => Open().Add(new Node { Break = new Break() });

    /// <summary>
    /// Runs the backward pass from a scalar: <c>t.Backward(loss, () => { g = hs.Grad.Save(); hs.Grad[..] = 0; })</c>. Within the block
    /// gradients are read, edited in place and replaced while the pass goes by, the last computed value's first; what is made of one
    /// flows on. The graph lives as long as its trace, so several passes may follow each other.
    /// </summary>
    /// <param name="loss">A tensor of one element, computed in a trace with <c>grad: true</c>.</param>
    /// <param name="gradients">What is done with the gradients. Without it: <see cref="Value.Grad"/> can be read afterwards.</param>
    /// <param name="gradient">What to begin with; of the loss's shape, which then needs not be a scalar. Default: 1.</param>
    public void Backward(Value loss, Action? gradients = null, Value? gradient = null)
    {
        Recorder recorder = Open();
        var backward = new Backward { Loss = recorder.Argument(loss), Gradient = gradient is null ? null : recorder.Argument(gradient) };
        backward.Region = recorder.InRegion(gradients ?? (() => { }));
        recorder.Add(new Node { Backward = backward });
    }

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

    private void Each(Argument items, Action<Value> body)
    {
        Recorder recorder = Open();
        uint region = recorder.InRegion(() => body(recorder.RegionParameter("item")));
        recorder.Add(new Node { ForEach = new ForEach { Items = items, Region = region } });
    }
}

/// <summary>A branch that was recorded, to which others can be added.</summary>
public sealed class Branching
{
    private readonly Recorder _recorder;
    private readonly Region _region;
    private readonly int _position;
    private readonly If _node;
    private bool _ended;

    internal Branching(Recorder recorder, Value condition, Action then) : this(recorder, recorder.Argument(condition), then) { }

    private Branching(Recorder recorder, Argument condition, Action then)
    {
        _recorder = recorder;
        _node = new If { Branches = { new Branch { Condition = condition, Region = recorder.InRegion(then) } } };
        _region = recorder.OpenNow;
        recorder.Add(new Node { If = _node });
        _position = _region.Nodes.Count;
    }

    /// <summary>Otherwise, if this holds. The condition is computed only when the ones before it did not hold.</summary>
    public Branching ElseIf(Value condition, Action then)
    {
        // what was recorded since belongs to this condition: it moves into the "otherwise"
        uint[] since = [.. _region.Nodes.Skip(_position)];
        while (_region.Nodes.Count > _position) _region.Nodes.RemoveAt(_position);
        Branching? inner = null;
        Otherwise(() =>
        {
            _recorder.OpenNow.Nodes.AddRange(since);
            inner = new Branching(_recorder, _recorder.Argument(condition), then);
        });
        return inner!;
    }

    /// <summary>Otherwise.</summary>
    public void Else(Action otherwise) => Otherwise(otherwise);

    private void Otherwise(Action body)
    {
        if (_ended) throw new InvalidOperationException("This branch has its Else already.");
        _ended = true;
        _node.Branches.Add(new Branch { Region = _recorder.InRegion(body) });
    }
}

/// <summary>A value that a program sets anew while it runs.</summary>
public sealed class Variable : Value
{
    internal Variable(Recorder recorder, Value initial)
        : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Items = { recorder.Argument(initial) } } })) { }

    /// <summary>What it holds at this point.</summary>
    public Value Value => Recorder.Current(this).Call("getitem", [this, 0L]);

    public void Set(Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { SetVariable = new SetVariable { Node = Node, Value = recorder.Argument(value) } });
    }
}
