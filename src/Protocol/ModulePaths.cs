namespace Ndif.Protocol;

/// <summary>Paths of modules, such as "transformer.h.0.attn", and the modules of a description by path.</summary>
public static class ModulePaths
{
    /// <summary>True if a user's module can have this name: letters, digits and underscores.</summary>
    public static bool IsValidName(string name) => name.Length > 0 && name.All(c => char.IsLetterOrDigit(c) || c == '_');

    /// <summary>The path of a child: "a.b" and "c" give "a.b.c"; below the root, whose path is empty, it is the name.</summary>
    public static string Join(string parent, string name) => parent.Length == 0 ? name : $"{parent}.{name}";

    /// <summary>A path as messages name it: the root, whose path is empty, is "model".</summary>
    public static string DisplayName(string path) => path.Length == 0 ? "model" : path;

    /// <summary>Splits a path at its last dot: "a.b.c" gives "a.b" and "c"; the parent of "a" is the root, whose path is empty.</summary>
    public static (string Parent, string Name) Split(string path)
    {
        int dot = path.LastIndexOf('.');
        return dot < 0 ? ("", path) : (path[..dot], path[(dot + 1)..]);
    }

    /// <summary>The module at a path relative to this one; the empty path is this module. Null if there is none.</summary>
    public static ModuleInfo? Find(this ModuleInfo root, string path)
    {
        ModuleInfo? module = root;
        if (path.Length == 0) return module;
        foreach (string name in path.Split('.'))
        {
            module = module.Children.FirstOrDefault(child => child.Name == name);
            if (module is null) return null;
        }
        return module;
    }

    /// <summary>The paths of all modules below this one, parents before their children.</summary>
    public static IEnumerable<string> Paths(this ModuleInfo root)
    {
        foreach (ModuleInfo child in root.Children)
        {
            yield return child.Name;
            foreach (string below in child.Paths()) yield return $"{child.Name}.{below}";
        }
    }

    /// <summary>
    /// A hint for a path that does not exist: the most similar paths, and the modules below the last component that exists.
    /// </summary>
    public static string GetSuggestion(ModuleInfo root, string path)
    {
        ModuleInfo module = root;
        string existing = "";
        foreach (string part in path.Split('.'))
        {
            if (module.Children.FirstOrDefault(child => child.Name == part) is not { } next)
            {
                string similar = Errors.DidYouMean(part, module.Children.Select(child => child.Name));
                if (similar.Length == 0) similar = Errors.DidYouMean(path, root.Paths());
                string children = module.Children.Count == 0 ? "nothing"
                    : module.List ? $"[0..{module.Children.Count - 1}]" : string.Join(", ", module.Children.Select(child => child.Name));
                return $"{similar} {(existing.Length == 0 ? "It has" : $"`{existing}` has")} {children}.".TrimStart();
            }
            existing = Join(existing, part);
            module = next;
        }
        return "";
    }
}
