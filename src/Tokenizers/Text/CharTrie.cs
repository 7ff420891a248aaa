using System.Runtime.InteropServices;

namespace Ndif.Tokenizers.Text;

/// <summary>A prefix tree over UTF-16 units: which of many strings begin at a place of a text.</summary>
internal sealed class CharTrie
{
    readonly Dictionary<long, int> _edges = []; // (node << 16 | char) to node
    readonly List<int> _values = [-1];          // per node: the value of the string that ends there, or -1

    public void Add(ReadOnlySpan<char> key, int value)
    {
        int node = 0;
        foreach (char c in key)
        {
            ref int next = ref CollectionsMarshal.GetValueRefOrAddDefault(_edges, (long)node << 16 | c, out bool exists);
            if (!exists)
            {
                next = _values.Count;
                _values.Add(-1);
            }
            node = next;
        }
        _values[node] = value;
    }

    /// <summary>From a node, 0 at the root, along a char; false where no string goes on.</summary>
    public bool Step(ref int node, char c) => _edges.TryGetValue((long)node << 16 | c, out node);

    public int ValueAt(int node) => _values[node];

    /// <summary>The longest string that the text begins with, or a length of 0.</summary>
    public (int Length, int Value) LongestMatch(ReadOnlySpan<char> text)
    {
        int node = 0, length = 0, value = -1;
        for (int i = 0; i < text.Length && Step(ref node, text[i]); i++)
            if (_values[node] >= 0)
                (length, value) = (i + 1, _values[node]);
        return (length, value);
    }
}
