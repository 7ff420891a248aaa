using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>Finds the code points that differ in case only, by simple case folding.</summary>
internal static class CaseFolding
{
    private static readonly Dictionary<int, int[]> _variants = FindVariants();

    /// <summary>The code points that match a code point if case is ignored, itself included.</summary>
    public static IReadOnlyList<int> VariantsOf(int codePoint) => _variants.TryGetValue(codePoint, out int[]? found) ? found : [codePoint];

    /// <summary>Adds the variants of all members.</summary>
    public static CodePointSet Close(CodePointSet set) => set.Union(CodePointSet.Of(
        _variants.Where(entry => set.Contains(entry.Key)).SelectMany(entry => entry.Value).Select(code => (code, code))));

    private static Dictionary<int, int[]> FindVariants()
    {
        var byFolded = new Dictionary<int, List<int>>();
        for (int code = 0; code < 0x1F000; code++)
        {
            if (!Rune.TryCreate(code, out var rune)) continue;
            int folded = Rune.ToLowerInvariant(Rune.ToUpperInvariant(rune)).Value;
            if (!byFolded.TryGetValue(folded, out var list)) byFolded[folded] = list = [];
            list.Add(code);
        }
        return byFolded.Values.Where(list => list.Count > 1).SelectMany(list => list.Select(code => (code, list: list.ToArray())))
            .ToDictionary(entry => entry.code, entry => entry.list);
    }
}
