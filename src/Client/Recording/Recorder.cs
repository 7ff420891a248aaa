using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Recording;

/// <summary>
/// Records a program while the user's code runs: every access and operation becomes a node in the open region. There is one recorder per
/// root trace or session.
/// </summary>
internal sealed class Recorder
{
    private static readonly AsyncLocal<Recorder?> _ambient = new();

    /// <summary>The region of the innermost lambda that this flow of control is in. What follows an await keeps it.</summary>
    private static readonly AsyncLocal<Region?> _lambdaOfFlow = new();

    private readonly Recorder? _outer;
    private readonly Stack<Region> _openRegions = new();
    private readonly Dictionary<UserLine, uint> _lines = [];
    private readonly List<UserLine> _userLines = [];
    private readonly Dictionary<TensorData, uint> _constants = new(ReferenceEqualityComparer.Instance);
    private readonly List<Saved> _saves = [];
    private readonly HashSet<string> _savedNames = [];
    private readonly SortedSet<string> _warnings = new(StringComparer.Ordinal);
    private readonly Stack<(string Name, string Repetition, uint Start)> _loops = [];
    private uint _barrierCount;
    private Region? _openLambda;
    private int _firstThread;
    private int _isRecording;
    private volatile bool _hasConflict;

    private Recorder(ModelRef model, Recorder? outer)
    {
        (_outer, _openLambda) = (outer, _lambdaOfFlow.Value);
        Program = new Protocol.Program { Version = ProgramFormat.Version, Client = ClientInfo.Name, Model = model };
        Program.Regions.Add(new Region());
        _openRegions.Push(Program.Regions[0]);
    }

    public Protocol.Program Program { get; }

    /// <summary>False once the program is complete.</summary>
    public bool IsOpen { get; private set; } = true;

    public bool HasRun { get; set; }

    /// <summary>
    /// Whether more than one thread has recorded. That is right where an await lies between them, and a mistake in Parallel.For.
    /// </summary>
    public bool HasSeveralThreads { get; private set; }

    public IReadOnlyList<Saved> Saves => _saves;

    /// <summary>What the recording noticed, with the line of the user, for the time of the run.</summary>
    public IReadOnlyCollection<string> Warnings => _warnings;

    /// <summary>The functions that the running program calls in the client (t.Local, t.Inspect), by position.</summary>
    public List<Func<object?[], object?>> Callbacks { get; } = [];

    /// <summary>The user's modules that the program defines, by path.</summary>
    public Dictionary<string, Layer> DefinedLayers { get; } = [];

    /// <summary>The modules whose forward is being recorded, the innermost first.</summary>
    public Stack<string> LayersBeingDefined { get; } = [];

    /// <summary>True for a recording that only tests what can be recorded. Values of other recordings are None in it.</summary>
    private bool IsTrial { get; init; }

    /// <summary>Finds the values of another program that this one may use; null if there are none.</summary>
    public Func<Value, Argument?>? Import { get; set; }

    /// <summary>True outside of all traces, loops and branches.</summary>
    public bool IsAtRoot => _openRegions.Count == 1;

    /// <summary>The traces, invokes and sessions that are open, the innermost first; for messages and iteration.</summary>
    public Stack<object> Scopes { get; } = new();

    /// <summary>The call of a module that a site refers to: 0, or the step of the enclosing iteration.</summary>
    public CallIndex CurrentCall { get; set; } = new() { At = 0 };

    /// <summary>The handlers of a generation's new tokens, by the node of its trace.</summary>
    public Dictionary<uint, Action<GeneratedToken>> TokenHandlers { get; } = [];

    /// <summary>From here to the end of the open scope, sites refer to a later call of their modules.</summary>
    public void Advance(int calls)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(calls);
        if (CurrentCall.WhichCase is CallIndex.WhichOneofCase.Step)
        {
            throw new InvalidOperationException(
                "In Iter.Each the step is known only when the program runs, so there is no next one while recording; "
                + "use foreach (int step in t.Iter[..]).");
        }
        CurrentCall = new CallIndex { At = CurrentCall.At + (uint)calls };
    }

    /// <summary>The open recorder of this flow of control; null if there is none.</summary>
    public static Recorder? Ambient
    {
        get
        {
            Recorder? recorder = _ambient.Value;
            while (recorder is { IsOpen: false }) recorder = recorder._outer; // another flow of control may have ended it
            return recorder;
        }
    }

    public static Recorder Begin(ModelRef model)
    {
        var recorder = new Recorder(model, Ambient);
        _ambient.Value = recorder;
        return recorder;
    }

    /// <summary>Begins a recording that is discarded.</summary>
    public static Recorder BeginTrial(ModelRef model)
    {
        var recorder = new Recorder(model, Ambient) { IsTrial = true };
        _ambient.Value = recorder;
        return recorder;
    }

    /// <summary>
    /// The open recorder of this flow of control; where there is none, that of the value, which an async method or another cell of a
    /// notebook may have opened.
    /// </summary>
    /// <param name="used">The value that needs it.</param>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public static Recorder Current(Value? used = null, string what = "A deferred value") =>
        Ambient ?? (used?.Recorder is { IsOpen: true } own ? own : null) ?? throw new InvalidOperationException(
            used is { Recorder.HasRun: false }
                ? "Accessing value before it's been set. It has a value after the trace has run."
                : $"{what} can be used only inside of a trace: {HowToOpen} What you need after it, Save().");

    /// <summary>What to do where no trace is open.</summary>
    public const string HowToOpen = "open one with `using var t = model.Trace(...)`. (`using (t.Use())` continues a trace that another "
        + "method or cell has opened.)";

    /// <summary>Makes this recorder the open one of this flow of control, until the result is disposed.</summary>
    public IDisposable Use() => new Continuation(this);

    private sealed class Continuation : IDisposable
    {
        private readonly Recorder _recorder;
        private readonly Recorder? _before = _ambient.Value;
        private readonly Region? _lambdaBefore = _lambdaOfFlow.Value;

        public Continuation(Recorder recorder)
        {
            _recorder = recorder;
            (_ambient.Value, _lambdaOfFlow.Value) = (recorder, recorder._openLambda);
        }

        public void Dispose() => (_ambient.Value, _lambdaOfFlow.Value) = (_before, _lambdaBefore);
    }

    public uint Add(Node node)
    {
        if (!IsOpen) throw new InvalidOperationException("The trace has already run; nothing can be added to it.");
        if (Interlocked.Exchange(ref _isRecording, 1) == 1) _hasConflict = true;
        try
        {
            RequireOneThread();
            if (!ReferenceEquals(_lambdaOfFlow.Value, _openLambda)) throw AsynchronousRecording.AfterAwait();
            if (_firstThread == 0) _firstThread = Environment.CurrentManagedThreadId;
            else HasSeveralThreads |= _firstThread != Environment.CurrentManagedThreadId;
            if (node.Line == 0) node.Line = RecordCurrentLine();
            uint id = (uint)Program.Nodes.Count;
            Program.Nodes.Add(node);
            _openRegions.Peek().Nodes.Add(id);
            return id;
        }
        finally
        {
            Volatile.Write(ref _isRecording, 0);
        }
    }

    /// <summary>Throws if two threads have recorded at the same time, which leaves the program in an undefined state.</summary>
    /// <exception cref="InvalidOperationException">Two threads have recorded.</exception>
    public void RequireOneThread()
    {
        if (_hasConflict)
            throw new InvalidOperationException("Two threads recorded into one trace at the same time. A trace is recorded by one thread: "
                + "use a loop in place of Parallel.For, or open a trace in each thread.");
    }

    /// <summary>Adds a node to the root region, before the traces that are open.</summary>
    public void AddToRoot(Node node)
    {
        node.Line = RecordCurrentLine();
        Program.Regions[0].Nodes.Add((uint)Program.Nodes.Count);
        Program.Nodes.Add(node);
    }

    /// <summary>Saves a value at the end of the program, whether or not the program is still recorded.</summary>
    public Saved SaveAtEnd(Value value)
    {
        AddToRoot(new Node { Save = new Save { Value = new Argument { Node = value.Node } } });
        var saved = new Saved(this, (uint)Program.Nodes.Count - 1, value.Node);
        _saves.Add(saved);
        return saved;
    }

    /// <summary>The node of a list, dictionary, variable or optimizer that this program changes.</summary>
    /// <exception cref="InvalidOperationException">It belongs to another program.</exception>
    public uint RequireOwn(Value value) => ReferenceEquals(value.Recorder, this) ? value.Node
        : throw new InvalidOperationException("This list, dictionary, variable or optimizer belongs to another trace, or to another model "
            + "of the session. It can be changed only where it was created.");

    /// <summary>The number of the user's line that is running now; 0 if it is not known.</summary>
    public uint RecordCurrentLine() => UserCallSite.GetCurrentLine() is { } line ? LineOf(line) : 0;

    /// <summary>The number of a line that was recorded elsewhere.</summary>
    public uint RecordLine(UserLine line) => LineOf(line);

    public Value Value(Node node) => new(this, Add(node));

    /// <summary>Records an operation of the op table.</summary>
    public Value Call(string op, object?[] arguments, params ReadOnlySpan<(string Name, object? Value)> keywords)
    {
        var call = new Call { Op = op };
        foreach (object? argument in arguments) call.Arguments.Add(Argument(argument));
        foreach (var (name, value) in keywords)
            if (value is not null) call.Keywords[name] = Argument(value);
        return Value(new Node { Call = call });
    }

    public Saved Save(Value value, string? name)
    {
        if (name is { Length: > 0 } && !_savedNames.Add(name))
            throw new InvalidOperationException($"This program already saves a value as \"{name}\". A name has one value: choose another "
                + "name, for example with the number of the step.");
        uint node = Add(new Node { Save = new Save { Value = Argument(value), Name = name ?? "" } });
        if (_loops.TryPeek(out var loop) && !IsFilledIn(value, loop.Start)) WarnOfLastValue(node, loop.Name, loop.Repetition);
        var saved = new Saved(this, node, value.Node);
        _saves.Add(saved);
        return saved;
    }

    /// <summary>Records a node that saves its own value.</summary>
    public Saved AddSaved(Node node)
    {
        uint id = Add(node);
        var saved = new Saved(this, id, id);
        _saves.Add(saved);
        return saved;
    }

    /// <summary>The region that nodes are added to.</summary>
    public Region CurrentRegion => _openRegions.Peek();

    public uint NextBarrier() => _barrierCount++;

    /// <summary>A service without the feature must refuse the program.</summary>
    public void RequireFeature(string feature)
    {
        if (!Program.RequiredFeatures.Contains(feature)) Program.RequiredFeatures.Add(feature);
    }

    /// <summary>Opens a region: what follows is recorded into it until <see cref="CloseRegion"/>.</summary>
    public uint OpenRegion()
    {
        uint id = (uint)Program.Regions.Count;
        Program.Regions.Add(new Region());
        _openRegions.Push(Program.Regions[(int)id]);
        return id;
    }

    public void CloseRegion() => _openRegions.Pop();

    /// <summary>Records what <paramref name="body"/> does into a new region.</summary>
    public uint RecordRegion(Action body)
    {
        AsynchronousRecording.Refuse(body);
        uint region = OpenRegion();
        (CallIndex before, Region? outerLambda) = (CurrentCall, _openLambda);
        using IDisposable continuation = Use();
        _lambdaOfFlow.Value = _openLambda = CurrentRegion;
        try
        {
            body();
        }
        catch when (region == Program.Regions.Count - 1 && Program.Regions[^1] is { Nodes.Count: 0, Parameters.Count: 0 })
        {
            Program.Regions.RemoveAt((int)region); // nothing refers to it
            throw;
        }
        finally
        {
            _lambdaOfFlow.Value = _openLambda = outerLambda;
            CurrentCall = before; // an advance in one branch does not apply to the other branches
            CloseRegion();
        }
        return region;
    }

    /// <summary>Records the body of a loop, which runs any number of times, into a new region.</summary>
    /// <param name="name">The method that the user called, for warnings.</param>
    /// <param name="repetition">"step" or "repetition".</param>
    public uint RecordLoop(string name, string repetition, Action body)
    {
        _loops.Push((name, repetition, (uint)Program.Nodes.Count));
        try
        {
            return RecordRegion(body);
        }
        finally
        {
            _loops.Pop();
        }
    }

    /// <summary>Warns that a save that the program repeats keeps the last of its values.</summary>
    public void WarnOfLastValue(uint save, string loop, string repetition, string advice = "append to a t.List() and save the list")
    {
        if (LineOf(save) is { Line: > 0 } line)
            _warnings.Add($"A value that is saved in {loop} keeps its value of the last {repetition}. To keep all {repetition}s, "
                + $"{advice}. ({System.IO.Path.GetFileName(line.Path)}:{line.Line})");
    }

    /// <summary>Whether a value is a list or map that is older than a loop, and so keeps what every repetition adds.</summary>
    private static bool IsFilledIn(Value value, uint loopStart) => value is ValueList or ValueMap && value.Node < loopStart;

    /// <summary>Adds a parameter to the open region: the variable of a loop.</summary>
    public Value RegionParameter(string name)
    {
        uint id = (uint)Program.Nodes.Count;
        Program.Nodes.Add(new Node { RegionParameter = new RegionParameter { Name = name } });
        _openRegions.Peek().Parameters.Add(id);
        return new Value(this, id);
    }

    /// <summary>Ends the recording; the program is complete.</summary>
    public void End()
    {
        if (!IsOpen) return;
        SaveNames.Complete(Program);
        IsOpen = false;
        if (ReferenceEquals(_ambient.Value, this)) _ambient.Value = _outer;
    }

    public Argument Argument(object? value)
    {
        switch (value)
        {
            case null: return new Argument { None = new Nothing() };
            case Value deferred: return ValueArgument(deferred);
            case Ints numbers: return Argument(numbers.AsArgument());
            case bool flag: return new Argument { Boolean = flag };
            case int number: return new Argument { Integer = number };
            case long number: return new Argument { Integer = number };
            case float number: return new Argument { Real = number };
            case double number: return new Argument { Real = number };
            case string text: return new Argument { Text = text };
            case DType type: return new Argument { Dtype = (DataType)type };
            case TensorData tensor: return new Argument { Constant = Constant(tensor) };
            case Idx index: return Argument(index.Entry);
            case Idx[] { Length: 1 } index: return Argument(index[0].Entry);
            case Idx[] index: return new Argument { Tuple = List(index.Select(i => i.Entry)) };
            case IndexEllipsis: return new Argument { Ellipsis = new Nothing() };
            case IndexSlice stride:
                return new Argument
                {
                    Slice = new Slice { Start = Argument(stride.Start), Stop = Argument(stride.Stop), Step = Argument(stride.Step) },
                };
            case IReadOnlyDictionary<string, object?> map:
                var entries = map.Select(e => new ArgumentEntry { Key = e.Key, Value = Argument(e.Value) });
                return new Argument { Map = new ArgumentMap { Entries = { entries } } };
            case ITuple tuple: return new Argument { Tuple = List(Enumerable.Range(0, tuple.Length).Select(i => tuple[i])) };
            case System.Collections.IEnumerable items: return new Argument { List = List(items.Cast<object?>()) };
            default:
                return Running.LocalRuntime.TryGet()?.ToTensorData(value) is { } converted ? Argument(converted)
                    : throw new ArgumentException(
                        $"A {value.GetType().Name} cannot be part of a program; use numbers, texts, tensors or deferred values.");
        }
    }

    /// <summary>The user's line that recorded a node.</summary>
    public UserLine? LineOf(uint node) =>
        node < Program.Nodes.Count && Program.Nodes[(int)node].Line is > 0 and var line ? _userLines[(int)line - 1] : null;

    private Argument ValueArgument(Value value)
    {
        if (value.AsArgument() is not Value deferred) return Argument(value.AsArgument());
        if (IsTrial && !ReferenceEquals(deferred.Recorder, this)) return new Argument { None = new Nothing() };
        if (!ReferenceEquals(deferred.Recorder, this) && Import?.Invoke(deferred) is { } imported) return imported;
        if (!ReferenceEquals(deferred.Recorder, this))
            throw new InvalidOperationException(
                "This value belongs to another trace and was not kept: Save() it there and use it here after that trace has run, "
                + "or put both traces into one session.");
        return new Argument { Node = deferred.Node };
    }

    private ArgumentList List(IEnumerable<object?> items) => new() { Items = { items.Select(Argument) } };

    private uint Constant(TensorData tensor)
    {
        if (_constants.TryGetValue(tensor, out uint id)) return id;
        id = (uint)Program.Constants.Count;
        Program.Constants.Add(tensor.ToProto());
        _constants.Add(tensor, id);
        return id;
    }

    private uint LineOf(UserLine line)
    {
        if (_lines.TryGetValue(line, out uint number)) return number;
        Program.Lines.Add(line.ToProto());
        _userLines.Add(line);
        return _lines[line] = (uint)_userLines.Count;
    }
}
