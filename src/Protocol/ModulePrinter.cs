using System.Text;

namespace Ndif.Protocol;

/// <summary>Prints a module tree as PyTorch does: <c>print(model)</c>, equal items of a list folded to "(0-11): 12 x GPT2Block(".</summary>
/// <remarks>Module.__repr__ in torch/nn/modules/module.py, ModuleList.__repr__ in torch/nn/modules/container.py</remarks>
public static class ModulePrinter
{
    public static string Print(ModuleInfo module) => module.List ? PrintList(module) : PrintModule(module);

    private static string PrintModule(ModuleInfo module)
    {
        if (module.Children.Count == 0) return $"{module.ClassName}({module.Repr})";
        IEnumerable<string> lines = module.Children.Select(child => $"({child.Name}): {Indented(Print(child))}");
        return Block(module, module.Repr.Length > 0 ? lines.Prepend(module.Repr) : lines);
    }

    private static string PrintList(ModuleInfo list)
    {
        if (list.Children.Count == 0) return $"{list.ClassName}()";
        List<string> lines = [];
        string[] items = [.. list.Children.Select(Print)];
        for (int first = 0; first < items.Length;)
        {
            int next = first + 1;
            while (next < items.Length && items[next] == items[first]) next++;
            string item = Indented(items[first]);
            lines.Add(next - first == 1 ? $"({first}): {item}" : $"({first}-{next - 1}): {next - first} x {item}");
            first = next;
        }
        return Block(list, lines);
    }

    private static string Block(ModuleInfo module, IEnumerable<string> lines) =>
        new StringBuilder(module.ClassName).Append("(\n  ").AppendJoin("\n  ", lines).Append("\n)").ToString();

    private static string Indented(string text) => text.Replace("\n", "\n  ", StringComparison.Ordinal);
}
