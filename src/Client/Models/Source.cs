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
    private readonly string _path, _above;
    private readonly ModuleInfo _module;
    private readonly FunctionSource _function;

    internal Source(TracedModel model, string path, ModuleInfo module, FunctionSource function, string above = "") =>
        (_model, _path, _module, _function, _above) = (model, path, module, function, above);

    /// <summary>
    /// An operation: "split_0" is the first call of split in the text, "attention_interface_0.softmax_0" one inside of a function that
    /// is called. The field's names for parts of attention are found on every architecture: q, k, v, scores, probs, z.
    /// </summary>
    /// <exception cref="BadProgramException">There is none; the message names the nearest, and those that there are.</exception>
    public Operation this[string name] => PassedOn(name) ?? new(_model, _path, _module, _model.Description.Operation(_module, _path, _above.Length == 0 ? name : $"{_above}.{name}"));

    /// <summary>A forward that only passes its call on, as GPT-Neo's attention, has the labels of the module that it calls.</summary>
    private Operation? PassedOn(string label)
    {
        if (_above.Length > 0 || _function.Operations is not [{ CallsModule: true, Module.Length: > 0 } only]) return null;
        ModelDescription model = _model.Description;
        string path = _path.Length == 0 ? only.Module : $"{_path}.{only.Module}";
        return _module.Find(only.Module) is { } called && model.HasLabel(called, label) ? new Source(_model, path, called, model.SourceOf(called, path))[label] : null;
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
    private readonly FoundOperation _found;

    internal Operation(TracedModel model, string module, ModuleInfo info, FoundOperation found) => (_model, Module, _module, _found) = (model, module, info, found);

    /// <summary>"split_0"</summary>
    public string Name => _found.Operation.Name;

    /// <summary>The name within the module's forward: "attention_interface_0.softmax_0".</summary>
    public string Path => _found.Path;

    /// <summary>The path of the module.</summary>
    public string Module { get; }

    /// <summary>The shape of the result in words: "[rows, heads, tokens, keys]"; "?" if nothing says it.</summary>
    public string Shape => _found.Operation.Shape;

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
            Recorder recorder = Open(".Inputs");
            return new Inputs(recorder, recorder.Add(new Node { Read = new ReadSite { Site = Site(SiteKind.Inputs), Call = recorder.Call0 } }));
        }
        set => Write(SiteKind.Inputs, value);
    }

    /// <summary>The code of the function that it calls, with the operations in that.</summary>
    /// <exception cref="NdifException">It calls a submodule, whose own Source is to be used; or nothing of the model's own code.</exception>
    public Source Source => new(_model, Module, _module, _model.Description.Inside(_found, Module), Path);

    /// <summary>Gives the operation's result without running it.</summary>
    public void Skip(Value value)
    {
        Recorder recorder = Open(".Skip");
        recorder.Add(new Node { Skip = new SkipModule { Module = Module, Operation = Path, Call = recorder.Call0, Value = recorder.Argument(value) } });
    }

    /// <summary>The operation's line, with those around it.</summary>
    public override string ToString() => SourcePrinter.Print(_found, Module);

    private Recorder Open(string access) => Recorder.Ambient ?? throw new InvalidOperationException(
        $"Cannot access `{Module}.source.{Path}{access}` outside of a trace: open one with `using var t = model.Trace(...)`.");

    private Site Site(SiteKind kind) => new() { Module = Module, Kind = kind, Operation = Path };

    private Value Read(SiteKind kind)
    {
        Recorder recorder = Open($".{kind}");
        return recorder.Value(new Node { Read = new ReadSite { Site = Site(kind), Call = recorder.Call0 } });
    }

    private void Write(SiteKind kind, Value value)
    {
        Recorder recorder = Open($".{kind}");
        recorder.Add(new Node { Write = new WriteSite { Site = Site(kind), Call = recorder.Call0, Value = recorder.Argument(value) } });
    }
}
