using System.Text;

namespace Ndif.Protocol;

/// <summary>Prints a module tree as PyTorch does: <c>print(model)</c>, equal items of a list folded to "(0-11): 12 x GPT2Block(".</summary>
/// <remarks>Module.__repr__ in torch/nn/modules/module.py, ModuleList.__repr__ in torch/nn/modules/container.py</remarks>
public static class ModulePrinter
{
    public static string Print(ModuleInfo module) => Print(module, "", (_, name) => name);

    /// <param name="path">Where the module stands.</param>
    /// <param name="label">How a module is named, by its path and name.</param>
    public static string Print(ModuleInfo module, string path, Func<string, string, string> label) =>
        module.List ? PrintList(module, path, label) : PrintModule(module, path, label);

    private static string PrintModule(ModuleInfo module, string path, Func<string, string, string> label)
    {
        if (module.Children.Count == 0) return $"{module.ClassName}({module.Repr})";
        IEnumerable<string> lines = module.Children.Select(child => $"({label(ChildPath(path, child), child.Name)}): {Indent(Print(child, ChildPath(path, child), label))}");
        return FormatBlock(module, module.Repr.Length > 0 ? lines.Prepend(module.Repr) : lines);
    }

    private static string PrintList(ModuleInfo list, string path, Func<string, string, string> label)
    {
        if (list.Children.Count == 0) return $"{list.ClassName}()";
        List<string> lines = [];
        string[] items = [.. list.Children.Select(child => Print(child, ChildPath(path, child), label))];
        for (int first = 0; first < items.Length;)
        {
            int next = first + 1;
            while (next < items.Length && items[next] == items[first]) next++;
            string item = Indent(items[first]);
            lines.Add(next - first == 1 ? $"({first}): {item}" : $"({first}-{next - 1}): {next - first} x {item}");
            first = next;
        }
        return FormatBlock(list, lines);
    }

    private static string ChildPath(string path, ModuleInfo child) => path.Length == 0 ? child.Name : $"{path}.{child.Name}";

    private static string FormatBlock(ModuleInfo module, IEnumerable<string> lines) =>
        new StringBuilder(module.ClassName).Append("(\n  ").AppendJoin("\n  ", lines).Append("\n)").ToString();

    private static string Indent(string text) => text.Replace("\n", "\n  ", StringComparison.Ordinal);
}
