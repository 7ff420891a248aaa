namespace Ndif.Tokenizers.Chat.Scopes;

/// <summary>Finds special names, such as <c>loop</c> or <c>caller</c>, that statements read before they set them.</summary>
/// <remarks>jinja2/compiler.py, find_undeclared</remarks>
internal static class UndeclaredNames
{
    public static HashSet<string> Find(TemplateStatement statements, params string[] names)
    {
        HashSet<string> searched = new(names, StringComparer.Ordinal), found = new(StringComparer.Ordinal);
        foreach (NameUse use in statements.NameUses)
        {
            if (!searched.Contains(use.Name)) continue;
            if (use.IsRead) found.Add(use.Name);
            else searched.Remove(use.Name);
        }
        return found;
    }
}

/// <summary>A place where a template reads or sets a name.</summary>
internal readonly record struct NameUse(string Name, bool IsRead);
