using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// The modules that a user attached to a model's tree, by path. An edited model shares them with the model that it derives from.
/// </summary>
internal sealed class Attachments
{
    private readonly Dictionary<string, Layer> _layers = [];

    /// <summary>True for an attached module and for the modules below it.</summary>
    public bool Contains(string path) => FindOwner(path) is not null;

    /// <summary>The description of the model without attached modules, as its runner knows it.</summary>
    public ModelDescription RemoveFrom(ModelDescription description)
    {
        if (_layers.Count == 0) return description;
        ModelDescription plain = description.Clone();
        foreach (string path in _layers.Keys)
        {
            (string parentPath, string name) = ModulePaths.Split(path);
            ModuleInfo parent = plain.Root.Find(parentPath)!;
            parent.Children.Remove(parent.Children.Single(child => child.Name == name));
        }
        return plain;
    }

    /// <summary>
    /// Attaches a module below another one and adds it to the tree. It replaces a module that was attached under the name before.
    /// </summary>
    public ModuleInfo Add(TracedModel model, string parent, ModuleInfo parentInfo, string name, ModuleDefinition definition)
    {
        string path = ModulePaths.Join(parent, name);
        ModuleInfo? existing = parentInfo.Children.FirstOrDefault(child => child.Name == name);
        if (parentInfo.List) throw new InvalidOperationException($"`{parent}` is a list of modules; attach to one of them.");
        if (existing is not null && !_layers.ContainsKey(path))
            throw new InvalidOperationException($"`{path}` is a module of the model; attach under another name.");
        Layer module = definition.AsLayer(name);
        ModuleInfo info = Describe(model, module, path);
        if (existing is not null) parentInfo.Children.Remove(existing);
        parentInfo.Children.Add(info);
        _layers[path] = module;
        return info;
    }

    /// <summary>Defines the attached module of a path in the program, if it is not defined yet.</summary>
    public void EnsureDefined(Recorder recorder, string path)
    {
        if (FindOwner(path) is { } owner) _layers[owner].Define(recorder, owner);
    }

    private string? FindOwner(string path) => _layers.Count == 0 ? null : _layers.Keys.FirstOrDefault(attached =>
        path == attached || (path.StartsWith(attached, StringComparison.Ordinal) && path[attached.Length] == '.'));

    /// <summary>The tree of a module, from a recording of its forward that is discarded.</summary>
    private static ModuleInfo Describe(TracedModel model, Layer module, string path)
    {
        Recorder recorder = Recorder.BeginTrial(model.Reference);
        try
        {
            module.Define(recorder, path);
        }
        finally
        {
            recorder.End();
        }
        var root = new ModuleInfo { Name = module.Name, ClassName = module.ClassName, Repr = module.Repr };
        foreach (var (below, layer) in recorder.DefinedLayers.Where(d => d.Key != path).OrderBy(d => d.Key.Count(c => c == '.')))
        {
            ModuleInfo parent = root.Find(ModulePaths.Split(below[(path.Length + 1)..]).Parent)!;
            parent.Children.Add(new ModuleInfo { Name = layer.Name, ClassName = layer.ClassName, Repr = layer.Repr });
        }
        return root;
    }
}
