using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// The source code of a module's forward, or of a function that it calls: its lines with the names of their operations
/// (<c>Console.WriteLine(attn.Source)</c>), and each operation by its name. Neither weights nor an open trace are needed.
/// </summary>
public sealed class Source
{
    private readonly TracedModel _model;
    private readonly string _path, _parentPath;
    private readonly ModuleInfo _module;
    private readonly FunctionSource _function;

    internal Source(TracedModel model, string path, ModuleInfo module, FunctionSource function, string parentPath = "") =>
        (_model, _path, _module, _function, _parentPath) = (model, path, module, function, parentPath);

    /// <summary>
    /// An operation by name: "split_0" is the first call of split in the text, "attention_interface_0.softmax_0" an operation inside a
    /// function that the forward calls. The parts of attention have the same names on every architecture: q, k, v, scores, probs, z.
    /// </summary>
    /// <exception cref="BadProgramException">UNKNOWN_OP: there is none; the message names the most similar and all others.</exception>
    public Operation this[string name] => FindInDelegate(name)
        ?? new(_model, _path, _module, _model.Description.FindOperation(_module, _path, ModulePaths.Join(_parentPath, name)));

    /// <summary>Finds a label in the module to which a forward only delegates, as that of GPT-Neo's attention does.</summary>
    private Operation? FindInDelegate(string label)
    {
        if (_parentPath.Length > 0 || _function.Operations is not [{ CallsModule: true, Module.Length: > 0 } only]) return null;
        ModelDescription model = _model.Description;
        string path = ModulePaths.Join(_path, only.Module);
        return _module.Find(only.Module) is { } called && model.HasLabel(called, label)
            ? new Source(_model, path, called, model.GetSource(called, path))[label] : null;
    }

    /// <summary>The operations of the function in the order in which they run, without those inside the functions that it calls.</summary>
    public IReadOnlyList<Operation> Operations => [.. _function.Operations.Select(o => this[o.Name])];

    /// <summary>The lines with their numbers, and the names of their operations.</summary>
    public override string ToString() => SourcePrinter.Print(_function);
}
