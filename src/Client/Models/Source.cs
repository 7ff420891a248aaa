using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// The code of a module's forward, or of a function that it calls: its lines with the names of the operations in them
/// (<c>Console.WriteLine(attn.Source)</c>), and each operation by its name. No weights are needed, nor a trace.
/// </summary>
public sealed class Source
{
    private readonly TracedModel _model;
    private readonly string _path, _parentPath;
    private readonly ModuleInfo _module;
    private readonly FunctionSource _function;

    internal Source(TracedModel model, string path, ModuleInfo module, FunctionSource function, string above = "") =>
        (_model, _path, _module, _function, _parentPath) = (model, path, module, function, above);

    /// <summary>
    /// An operation: "split_0" is the first call of split in the text, "attention_interface_0.softmax_0" one inside of a function that
    /// is called. The field's names for parts of attention are found on every architecture: q, k, v, scores, probs, z.
    /// </summary>
    /// <exception cref="BadProgramException">There is none; the message names the nearest, and those that there are.</exception>
    public Operation this[string name] => FindInDelegate(name) ?? new(_model, _path, _module, _model.Description.FindOperation(_module, _path, _parentPath.Length == 0 ? name : $"{_parentPath}.{name}"));

    /// <summary>A forward that only passes its call on, as GPT-Neo's attention, has the labels of the module that it calls.</summary>
    private Operation? FindInDelegate(string label)
    {
        if (_parentPath.Length > 0 || _function.Operations is not [{ CallsModule: true, Module.Length: > 0 } only]) return null;
        ModelDescription model = _model.Description;
        string path = _path.Length == 0 ? only.Module : $"{_path}.{only.Module}";
        return _module.Find(only.Module) is { } called && model.HasLabel(called, label) ? new Source(_model, path, called, model.GetSource(called, path))[label] : null;
    }

    /// <summary>The function's operations in the order in which they run; not those inside of what it calls.</summary>
    public IReadOnlyList<Operation> Operations => [.. _function.Operations.Select(o => this[o.Name])];

    /// <summary>The lines with their numbers, and the operations' names beside them.</summary>
    public override string ToString() => SourcePrinter.Print(_function);
}

/// <summary>
/// One call or operator inside of a module's forward. It is read, edited in place, replaced and skipped as a module is; its calls are
/// counted as a module's are.
/// </summary>
public sealed class Operation
{
    private readonly TracedModel _model;
    private readonly ModuleInfo _module;
    private readonly ResolvedOperation _resolved;

    internal Operation(TracedModel model, string module, ModuleInfo info, ResolvedOperation found) => (_model, Module, _module, _resolved) = (model, module, info, found);

    /// <summary>"split_0"</summary>
    public string Name => _resolved.Operation.Name;

    /// <summary>The name within the module's forward: "attention_interface_0.softmax_0".</summary>
    public string Path => _resolved.Path;

    /// <summary>The path of the module.</summary>
    public string Module { get; }

    /// <summary>The shape of the result in words: "[batch, heads, seq, kvSeq]"; "?" if nothing says it.</summary>
    public string Shape => _resolved.Operation.Shape;

    /// <summary>What the operation gives: a tensor, or a tuple.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Output
    {
        get => Read(SiteKind.Output);
        set => Write(SiteKind.Output, value);
    }

    /// <summary>Its first argument; of a tensor's method, the tensor.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Input
    {
        get => Read(SiteKind.Input);
        set => Write(SiteKind.Input, value);
    }

    /// <summary>All arguments, positional ones and keywords.</summary>
    public Inputs Inputs
    {
        get
        {
            Recorder recorder = RequireRecorder(".Inputs");
            return new Inputs(recorder, recorder.Add(new Node { Read = new ReadSite { Site = Site(SiteKind.Inputs), Call = recorder.CurrentCall } }));
        }
        set => Write(SiteKind.Inputs, value);
    }

    /// <summary>The code of the function that it calls, with the operations in that.</summary>
    /// <exception cref="NdifException">It calls a submodule, whose own Source is to be used; or nothing of the model's own code.</exception>
    public Source Source => new(_model, Module, _module, _model.Description.GetCalledFunction(_resolved, Module), Path);

    /// <summary>Gives the operation's result without running it.</summary>
    public void Skip(Value value)
    {
        Recorder recorder = RequireRecorder(".Skip");
        recorder.Add(new Node { Skip = new SkipModule { Module = Module, Operation = Path, Call = recorder.CurrentCall, Value = recorder.Argument(value) } });
    }

    /// <summary>The operation's line, with those around it.</summary>
    public override string ToString() => SourcePrinter.Print(_resolved, Module);

    private Recorder RequireRecorder(string access) => Recorder.Ambient ?? throw new InvalidOperationException(
        $"Cannot access `{Module}.source.{Path}{access}` outside of a trace: open one with `using var t = model.Trace(...)`.");

    private Site Site(SiteKind kind) => new() { Module = Module, Kind = kind, Operation = Path };

    private Value Read(SiteKind kind)
    {
        Recorder recorder = RequireRecorder($".{kind}");
        return recorder.Value(new Node { Read = new ReadSite { Site = Site(kind), Call = recorder.CurrentCall } });
    }

    private void Write(SiteKind kind, Value value)
    {
        Recorder recorder = RequireRecorder($".{kind}");
        recorder.Add(new Node { Write = new WriteSite { Site = Site(kind), Call = recorder.CurrentCall, Value = recorder.Argument(value) } });
    }
}
