namespace Ndif.Protocol;

/// <summary>Finding modules of a description by path.</summary>
public static class ModulePaths
{
    /// <summary>True for what can be one component of a path that a user makes up: letters, digits and _.</summary>
    public static bool IsValidName(string name) => name.Length > 0 && name.All(c => char.IsLetterOrDigit(c) || c == '_');

    /// <summary>The module at a path from this one; empty is this one. Null if there is none.</summary>
    public static ModuleInfo? Find(this ModuleInfo root, string path)
    {
        ModuleInfo? at = root;
        if (path.Length == 0) return at;
        foreach (string part in path.Split('.'))
        {
            at = at.Children.FirstOrDefault(c => c.Name == part);
            if (at is null) return null;
        }
        return at;
    }

    /// <summary>All paths below this module, parents first.</summary>
    public static IEnumerable<string> Paths(this ModuleInfo root)
    {
        foreach (ModuleInfo child in root.Children)
        {
            yield return child.Name;
            foreach (string below in child.Paths()) yield return $"{child.Name}.{below}";
        }
    }

    /// <summary>A hint for a path that does not exist: the nearest ones, or what stands where it goes wrong.</summary>
    public static string GetSuggestion(ModuleInfo root, string path)
    {
        ModuleInfo at = root;
        string known = "";
        foreach (string part in path.Split('.'))
        {
            if (at.Children.FirstOrDefault(c => c.Name == part) is not { } next)
            {
                string near = Errors.DidYouMean(part, at.Children.Select(c => c.Name));
                if (near.Length == 0) near = Errors.DidYouMean(path, root.Paths());
                string here = at.Children.Count == 0 ? "nothing"
                    : at.List ? $"[0..{at.Children.Count - 1}]" : string.Join(", ", at.Children.Select(c => c.Name));
                return $"{near} {(known.Length == 0 ? "It has" : $"`{known}` has")} {here}.".TrimStart();
            }
            known = known.Length == 0 ? part : $"{known}.{part}";
            at = next;
        }
        return "";
    }
}
