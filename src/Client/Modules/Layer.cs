using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A layer of a <see cref="ModuleDefinition"/>: a name, a site, and a computation.</summary>
public sealed class Layer
{
    private readonly Func<Value, Value> _forward;

    internal Layer(string name, string className, string repr, Func<Value, Value> forward)
    {
        if (!ModulePaths.IsValidName(name))
            throw new ArgumentException(
                $"`{name}` is not a name of a module: it consists of letters, digits and underscores.", nameof(name));
        (Name, ClassName, Repr, _forward) = (name, className, repr, forward);
    }

    internal string Name { get; }

    internal string ClassName { get; }

    internal string Repr { get; }

    /// <summary>
    /// Runs the layer, inside its module's <see cref="ModuleDefinition.Forward"/>. Elsewhere, call <c>attached["name"].Call(x)</c>.
    /// </summary>
    /// <exception cref="InvalidOperationException">No forward of a module is being recorded.</exception>
    public Value Call(Value input)
    {
        Recorder recorder = Recorder.Current(input, $"The layer `{Name}`");
        if (!recorder.LayersBeingDefined.TryPeek(out string? within))
            throw new InvalidOperationException(
                $"The layer `{Name}` is called in its module's Forward; reach it as attached[\"{Name}\"].Call(x) elsewhere.");
        string path = ModulePaths.Join(within, Name);
        Define(recorder, path);
        return recorder.Value(new Node
        {
            CallModule = new CallModule { Module = path, Arguments = { recorder.Argument(input) }, Sites = true },
        });
    }

    /// <summary>Defines the module in the program, once.</summary>
    internal void Define(Recorder recorder, string path)
    {
        if (!recorder.DefinedLayers.TryAdd(path, this))
        {
            if (recorder.DefinedLayers[path] != this)
                throw new InvalidOperationException($"`{path}` is the name of two layers: give each its own name.");
            return;
        }
        var definition = new DefineModule { Path = path, ClassName = ClassName };
        recorder.LayersBeingDefined.Push(path);
        definition.Forward = recorder.OpenRegion();
        try
        {
            definition.Result = recorder.Argument(_forward(recorder.RegionParameter("input")));
        }
        finally
        {
            recorder.CloseRegion();
            recorder.LayersBeingDefined.Pop();
        }
        recorder.AddToRoot(new Node { DefineModule = definition });
    }
}
