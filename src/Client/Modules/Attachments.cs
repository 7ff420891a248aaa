using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>The modules that a user has attached to a model's tree, by path. An edited model shares them with the one it was made from.</summary>
internal sealed class Attachments
{
    private readonly Dictionary<string, Layer> _layers = [];

    /// <summary>True for an attached module and for what is below one.</summary>
    public bool Contains(string path) => FindOwner(path) is not null;

    /// <summary>What is known of the model as the one who runs it knows it: without them.</summary>
    public ModelDescription RemoveFrom(ModelDescription description)
    {
        if (_layers.Count == 0) return description;
        ModelDescription plain = description.Clone();
        foreach (string path in _layers.Keys)
        {
            int dot = path.LastIndexOf('.');
            ModuleInfo above = plain.Root.Find(dot < 0 ? "" : path[..dot])!;
            above.Children.Remove(above.Children.Single(c => c.Name == path[(dot + 1)..]));
        }
        return plain;
    }

    /// <summary>Adds a module below another one, to the tree too; one that was attached there before is replaced.</summary>
    public ModuleInfo Add(TracedModel model, string parent, ModuleInfo parentInfo, string name, ModuleDefinition definition)
    {
        string path = parent.Length == 0 ? name : $"{parent}.{name}";
        ModuleInfo? there = parentInfo.Children.FirstOrDefault(c => c.Name == name);
        if (parentInfo.List) throw new InvalidOperationException($"`{parent}` is a list of modules; attach to one of them.");
        if (there is not null && !_layers.ContainsKey(path)) throw new InvalidOperationException($"`{path}` is a module of the model; attach under another name.");
        Layer module = definition.AsLayer(name);
        ModuleInfo info = Describe(model, module, path);
        if (there is not null) parentInfo.Children.Remove(there);
        parentInfo.Children.Add(info);
        _layers[path] = module;
        return info;
    }

    /// <summary>Makes sure that a program which refers to the path knows the module.</summary>
    public void EnsureDefined(Recorder recorder, string path)
    {
        if (FindOwner(path) is { } owner) _layers[owner].Define(recorder, owner);
    }

    private string? FindOwner(string path) =>
        _layers.Count == 0 ? null : _layers.Keys.FirstOrDefault(p => path == p || (path.StartsWith(p, StringComparison.Ordinal) && path[p.Length] == '.'));

    /// <summary>Its tree: found by recording its forward once, into nothing.</summary>
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
            string relative = below[(path.Length + 1)..];
            int dot = relative.LastIndexOf('.');
            root.Find(dot < 0 ? "" : relative[..dot])!.Children.Add(new ModuleInfo { Name = layer.Name, ClassName = layer.ClassName, Repr = layer.Repr });
        }
        return root;
    }
}
