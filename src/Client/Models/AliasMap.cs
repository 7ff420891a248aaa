using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// The renamed modules of a model. A name ("mlp") renames every module of that name; a path ("transformer.h") gives this one module another
/// name below the root, or below the module that the new name's path gives. The old names remain valid. Programs contain only old names, so
/// a service never receives an alias.
/// </summary>
internal sealed class AliasMap
{
    private readonly ModuleInfo _root;
    private readonly Dictionary<string, List<string>> _aliasesByName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Dictionary<string, string>> _aliasesByParent = new(StringComparer.Ordinal);

    /// <exception cref="NdifException">UNKNOWN_MODULE: a key names no module. BAD_ARGUMENT: a new name is in use.</exception>
    public AliasMap(ModuleInfo root, IReadOnlyDictionary<string, Aliases> rename)
    {
        _root = root;
        foreach ((string key, Aliases names) in rename)
        {
            string old = key.TrimStart('.');
            foreach (string name in names)
            {
                if (old.Contains('.') || name.StartsWith('.')) AddAlias(old, name);
                else AddAliasForName(old, name);
            }
        }
    }

    /// <summary>The child of a module by its name or an alias; null if there is none.</summary>
    public (string Path, ModuleInfo Info)? ResolveChild(string path, ModuleInfo parent, string name)
    {
        if (parent.Children.FirstOrDefault(c => c.Name == name) is { } child) return (ModulePaths.Join(path, child.Name), child);
        if (_aliasesByParent.TryGetValue(path, out var aliases) && aliases.TryGetValue(name, out string? target))
            return (target, _root.Find(target)!);
        ModuleInfo? renamed = parent.Children.FirstOrDefault(c =>
            _aliasesByName.TryGetValue(c.Name, out var names) && names.Contains(name));
        return renamed is null ? null : (ModulePaths.Join(path, renamed.Name), renamed);
    }

    /// <summary>The module at a path of names and aliases; null if there is none.</summary>
    public (string Path, ModuleInfo Info)? Find(string path)
    {
        (string Path, ModuleInfo Info)? module = ("", _root);
        foreach (string name in path.Split('.'))
            if (module is { } parent) module = ResolveChild(parent.Path, parent.Info, name);
        return module;
    }

    /// <summary>The printed name of a module: "alias/name", or its name alone.</summary>
    public string Label(string path, string name)
    {
        IEnumerable<string> ownAliases = _aliasesByParent.Values.SelectMany(m => m).Where(m => m.Value == path).Select(m => m.Key);
        string[] names = [.. _aliasesByName.GetValueOrDefault(name) ?? [], .. ownAliases];
        return names.Length == 0 ? name : $"{string.Join('/', names)}/{name}";
    }

    private void AddAlias(string old, string name)
    {
        if (_root.Find(old) is null) throw UnknownModule(old, ModulePaths.GetSuggestion(_root, old));
        (string parentPath, string last) = ModulePaths.Split(name.Trim('.'));
        var (parent, info) = parentPath.Length == 0 ? ("", _root)
            : Find(parentPath) ?? throw Errors.CreateException(ErrorCode.UnknownModule,
                $"`{old}` cannot be renamed `{name}`: there is no module `{parentPath}`.",
                ModulePaths.GetSuggestion(_root, name.Trim('.')));
        RequireFreeName(old, info, last);
        if (!_aliasesByParent.TryGetValue(parent, out var aliases)) _aliasesByParent[parent] = aliases = new(StringComparer.Ordinal);
        if (!aliases.TryAdd(last, old)) throw NameTaken(old, last);
    }

    private void AddAliasForName(string old, string name)
    {
        List<ModuleInfo> parents = [.. Modules(_root).Where(m => m.Children.Any(c => c.Name == old))];
        if (parents.Count == 0)
            throw UnknownModule(old, Errors.DidYouMean(old, Modules(_root).SelectMany(m => m.Children).Select(c => c.Name).Distinct()));
        foreach (ModuleInfo parent in parents) RequireFreeName(old, parent, name);
        if (!_aliasesByName.TryGetValue(old, out var names)) _aliasesByName[old] = names = [];
        names.Add(name);
    }

    private static void RequireFreeName(string old, ModuleInfo parent, string name)
    {
        if (name.Length == 0 || name.Contains('.') || parent.Children.Any(c => c.Name == name)) throw NameTaken(old, name);
    }

    private static IEnumerable<ModuleInfo> Modules(ModuleInfo root) => root.Children.SelectMany(Modules).Prepend(root);

    private static Exception UnknownModule(string old, string hint) =>
        Errors.CreateException(ErrorCode.UnknownModule, $"rename: there is no module `{old}`.", hint, old);

    private static Exception NameTaken(string old, string name) => Errors.CreateException(ErrorCode.BadArgument,
        $"`{old}` cannot be renamed `{name}`: there is a module of that name already, or it is not a name.",
        "Choose a name that is free: the old names stay.", old);
}
