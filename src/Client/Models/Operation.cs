using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// One call or operator inside a module's forward. Its values are read, edited in place, replaced and skipped like those of a module, and
/// its calls are counted in the same way.
/// </summary>
public sealed class Operation
{
    private readonly TracedModel _model;
    private readonly ModuleInfo _module;
    private readonly ResolvedOperation _resolved;

    internal Operation(TracedModel model, string module, ModuleInfo info, ResolvedOperation resolved) =>
        (_model, Module, _module, _resolved) = (model, module, info, resolved);

    /// <summary>The name, such as "split_0".</summary>
    public string Name => _resolved.Operation.Name;

    /// <summary>The path within the module's forward, such as "attention_interface_0.softmax_0".</summary>
    public string Path => _resolved.Path;

    /// <summary>The path of the module.</summary>
    public string Module { get; }

    /// <summary>The shape of the result as the source states it, such as "[batch, heads, seq, kvSeq]"; "?" where it is unknown.</summary>
    public string Shape => _resolved.Operation.Shape;

    /// <summary>The result of the operation: a tensor, or a tuple.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Output
    {
        get => Site(".Output").Read(SiteKind.Output);
        set => Site(".Output").Write(SiteKind.Output, value);
    }

    /// <summary>The first argument; of a method of a tensor, the tensor.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Input
    {
        get => Site(".Input").Read(SiteKind.Input);
        set => Site(".Input").Write(SiteKind.Input, value);
    }

    /// <summary>All arguments: positional ones and keywords.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Inputs Inputs
    {
        get => Site(".Inputs").ReadInputs();
        set => Site(".Inputs").Write(SiteKind.Inputs, value);
    }

    /// <summary>The source code of the function that the operation calls, with its operations.</summary>
    /// <exception cref="NdifException">
    /// BAD_ARGUMENT: the operation calls a submodule, which has its own Source. UNKNOWN_OP: it calls no function of the model's code.
    /// </exception>
    public Source Source => new(_model, Module, _module, _model.Description.GetCalledFunction(_resolved, Module), Path);

    /// <summary>Uses a value as the result instead of running the operation.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public void Skip(Value value) => Site(".Skip").Skip(value);

    /// <summary>The line of the operation and the lines around it.</summary>
    public override string ToString() => SourcePrinter.Print(_resolved, Module);

    private SiteRecorder Site(string access)
    {
        Recorder recorder = Recorder.Ambient ?? throw new InvalidOperationException(
            $"Cannot access `{Module}.source.{Path}{access}` outside of a trace: {Recorder.HowToOpen}");
        return new SiteRecorder(recorder, Module, Path);
    }
}
