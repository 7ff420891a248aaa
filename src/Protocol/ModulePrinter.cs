using System.Text;

namespace Ndif.Protocol;

/// <summary>
/// Prints a module tree as PyTorch's <c>print(model)</c>; equal items of a list are one entry, "(0-11): 12 x GPT2Block(", and so are
/// experts.
/// </summary>
/// <remarks>Module.__repr__ in torch/nn/modules/module.py, ModuleList.__repr__ in torch/nn/modules/container.py</remarks>
public static class ModulePrinter
{
    /// <summary>The tree below a module, with the names of its modules.</summary>
    public static string Print(ModuleInfo module) => Print(module, "", (_, name) => name);

    /// <summary>The tree below a module, with other names for its modules.</summary>
    /// <param name="path">The path of the module.</param>
    /// <param name="label">The printed name of a module, from its path and name.</param>
    public static string Print(ModuleInfo module, string path, Func<string, string, string> label) =>
        module.List ? PrintList(module, path, label) : PrintModule(module, path, label);

    private static string PrintModule(ModuleInfo module, string path, Func<string, string, string> label)
    {
        if (module.Children.Count == 0) return $"{module.ClassName}({module.Repr})";
        IEnumerable<string> lines = module.Children.Where(child => !IsExpert(child)).Select(child =>
        {
            string childPath = ModulePaths.Join(path, child.Name);
            return $"({label(childPath, child.Name)}): {Indent(Print(child, childPath, label))}";
        }).Concat(Items([.. module.Children.Where(IsExpert)], path, label));
        return FormatBlock(module, module.Repr.Length > 0 ? lines.Prepend(module.Repr) : lines);
    }

    private static string PrintList(ModuleInfo list, string path, Func<string, string, string> label)
    {
        if (list.Children.Count == 0) return $"{list.ClassName}()";
        return FormatBlock(list, Items(list.Children, path, label));
    }

    private static bool IsExpert(ModuleInfo module) => module.Virtual && module.Children.Count == 0;

    /// <summary>The lines of modules by number.</summary>
    private static List<string> Items(IReadOnlyList<ModuleInfo> modules, string path, Func<string, string, string> label)
    {
        List<string> lines = [];
        string[] items = [.. modules.Select(child => Print(child, ModulePaths.Join(path, child.Name), label))];
        for (int first = 0; first < items.Length;)
        {
            int next = first + 1;
            while (next < items.Length && items[next] == items[first]) next++;
            string item = Indent(items[first]);
            lines.Add(next - first == 1 ? $"({first}): {item}" : $"({first}-{next - 1}): {next - first} x {item}");
            first = next;
        }
        return lines;
    }

    private static string FormatBlock(ModuleInfo module, IEnumerable<string> lines) =>
        new StringBuilder(module.ClassName).Append("(\n  ").AppendJoin("\n  ", lines).Append("\n)").ToString();

    private static string Indent(string text) => text.Replace("\n", "\n  ", StringComparison.Ordinal);
}
