using System.Runtime.InteropServices;

namespace Ndif.Tokenizers.Text;

/// <summary>A trie of strings over UTF-16 code units. It finds the strings that start at a position of a text.</summary>
internal sealed class CharTrie
{
    private readonly Dictionary<long, int> _edges = []; // (node << 16 | char) to node
    private readonly List<int> _values = [-1];          // per node: the value of the string that ends there, or -1

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

    /// <summary>Moves from a node (0 is the root) along a char. Returns false if no string continues with it.</summary>
    public bool Step(ref int node, char c) => _edges.TryGetValue((long)node << 16 | c, out node);

    /// <summary>The value of the string that ends at a node, or -1 if none ends there.</summary>
    public int ValueAt(int node) => _values[node];

    /// <summary>Finds the longest string that is a prefix of a text. The length is 0 if there is none.</summary>
    public (int Length, int Value) LongestMatch(ReadOnlySpan<char> text)
    {
        int node = 0, length = 0, value = -1;
        for (int i = 0; i < text.Length && Step(ref node, text[i]); i++)
            if (_values[node] >= 0)
                (length, value) = (i + 1, _values[node]);
        return (length, value);
    }
}
