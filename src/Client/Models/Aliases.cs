using System.Collections;
using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif;

/// <summary>Other names of a module, as the <c>rename</c> option takes them: one (<c>"layers"</c>) or several (<c>["layers", "blocks"]</c>).</summary>
[CollectionBuilder(typeof(Aliases), nameof(Create))]
public sealed class Aliases : IEnumerable<string>
{
    private readonly string[] _names;

    private Aliases(string[] names) => _names = names;

    public static Aliases Create(ReadOnlySpan<string> names) => new(names.ToArray());

    public static implicit operator Aliases(string name) => new([name]);
    public static implicit operator Aliases(string[] names) => new([.. names]);

    public IEnumerator<string> GetEnumerator() => ((IEnumerable<string>)_names).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>
/// The renamed modules of a model. A name alone ("mlp") renames every module called so, where it stands; a path
/// ("transformer.h") gives that one module another name at the root, or where the new name's own path says. Old names stay, and
/// programs hold only them: a service never sees an alias.
/// </summary>
internal sealed class AliasMap
{
    private readonly ModuleInfo _root;
    private readonly Dictionary<string, List<string>> _aliasesByName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Dictionary<string, string>> _aliasesByParent = new(StringComparer.Ordinal);

    /// <exception cref="NdifException">UNKNOWN_MODULE: a key names no module. BAD_ARGUMENT: a new name is taken.</exception>
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

    /// <summary>The module called so below another one, by its own name or an alias; null if there is none.</summary>
    public (string Path, ModuleInfo Info)? ResolveChild(string path, ModuleInfo parent, string name)
    {
        if (parent.Children.FirstOrDefault(c => c.Name == name) is { } own) return (Join(path, own.Name), own);
        if (_aliasesByParent.TryGetValue(path, out var here) && here.TryGetValue(name, out string? target)) return (target, _root.Find(target)!);
        ModuleInfo? renamed = parent.Children.FirstOrDefault(c => _aliasesByName.TryGetValue(c.Name, out var names) && names.Contains(name));
        return renamed is null ? null : (Join(path, renamed.Name), renamed);
    }

    /// <summary>The module at a path of names and aliases; null if there is none.</summary>
    public (string Path, ModuleInfo Info)? Find(string path)
    {
        (string Path, ModuleInfo Info)? at = ("", _root);
        foreach (string name in path.Split('.'))
            if (at is { } here) at = ResolveChild(here.Path, here.Info, name);
        return at;
    }

    /// <summary>How a module is printed: "alias/name", or its name alone.</summary>
    public string Label(string path, string name)
    {
        IEnumerable<string> mounted = _aliasesByParent.Values.SelectMany(m => m).Where(m => m.Value == path).Select(m => m.Key);
        string[] names = [.. _aliasesByName.GetValueOrDefault(name) ?? [], .. mounted];
        return names.Length == 0 ? name : $"{string.Join('/', names)}/{name}";
    }

    private void AddAlias(string old, string name)
    {
        if (_root.Find(old) is null) throw UnknownModule(old, ModulePaths.GetSuggestion(_root, old));
        string[] parts = name.Trim('.').Split('.');
        var (parent, info) = parts.Length == 1 ? ("", _root)
            : Find(string.Join('.', parts[..^1])) ?? throw Errors.CreateException(ErrorCode.UnknownModule, $"`{old}` cannot be renamed `{name}`: there is no module `{string.Join('.', parts[..^1])}`.",
                ModulePaths.GetSuggestion(_root, name.Trim('.')));
        RequireFreeName(old, info, parts[^1]);
        if (!_aliasesByParent.TryGetValue(parent, out var here)) _aliasesByParent[parent] = here = new(StringComparer.Ordinal);
        if (!here.TryAdd(parts[^1], old)) throw NameTaken(old, parts[^1]);
    }

    private void AddAliasForName(string old, string name)
    {
        List<ModuleInfo> parents = [.. Modules(_root).Where(m => m.Children.Any(c => c.Name == old))];
        if (parents.Count == 0) throw UnknownModule(old, Errors.DidYouMean(old, Modules(_root).SelectMany(m => m.Children).Select(c => c.Name).Distinct()));
        foreach (ModuleInfo parent in parents) RequireFreeName(old, parent, name);
        if (!_aliasesByName.TryGetValue(old, out var names)) _aliasesByName[old] = names = [];
        names.Add(name);
    }

    private static void RequireFreeName(string old, ModuleInfo parent, string name)
    {
        if (name.Length == 0 || name.Contains('.') || parent.Children.Any(c => c.Name == name)) throw NameTaken(old, name);
    }

    private static IEnumerable<ModuleInfo> Modules(ModuleInfo root) => root.Children.SelectMany(Modules).Prepend(root);

    private static string Join(string path, string name) => path.Length == 0 ? name : $"{path}.{name}";

    private static Exception UnknownModule(string old, string hint) => Errors.CreateException(ErrorCode.UnknownModule, $"rename: there is no module `{old}`.", hint, old);

    private static Exception NameTaken(string old, string name) => Errors.CreateException(ErrorCode.BadArgument, $"`{old}` cannot be renamed `{name}`: there is a module of that name already, or it is not a name.",
        "Choose a name that is free: the old names stay.", old);
}
