using System.Buffers;

namespace Ndif.Tokenizers.Models;

/// <summary>A token of a word while pairs are merged; a list linked both ways.</summary>
internal record struct BpeSymbol(int Id, int Start, int End)
{
    /// <summary>The neighbours' places, or -1.</summary>
    public int Previous, Next;

    /// <summary>The rank and the result of merging this with the next one; <see cref="BpeMerger.NoMerge"/> where they don't merge.</summary>
    public int Rank, MergedId;
}

/// <summary>
/// Merges the pairs of a word, the lowest rank first and the leftmost of equals, in O(n log n): SentencePiece-style models
/// see a whole prompt as one word.
/// </summary>
internal static class BpeMerger
{
    public const int NoMerge = int.MaxValue;

    /// <summary>Afterwards the tokens are those linked from the first.</summary>
    public static void Merge(Span<BpeSymbol> symbols, BpeMergeTable merges)
    {
        if (symbols.Length == 0) return;

        // n - 1 pairs to begin with, and each of at most n - 1 merges makes at most two new ones
        int most = symbols.Length * 3;
        long[]? rented = most > 384 ? ArrayPool<long>.Shared.Rent(most) : null;
        var heap = new MinHeap(rented ?? stackalloc long[most]);

        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i].Previous = i - 1;
            symbols[i].Next = i + 1 < symbols.Length ? i + 1 : -1;
        }
        for (int i = 0; i < symbols.Length; i++) UpdateMerge(symbols, i, merges, ref heap);

        while (heap.TryPop(out long entry))
        {
            int at = (int)(uint)entry, rank = (int)(entry >> 32);
            ref var left = ref symbols[at];
            if (left.Rank != rank) continue; // one of the two has merged with another since

            ref var right = ref symbols[left.Next];
            left.Id = left.MergedId;
            left.End = right.End;
            left.Next = right.Next;
            right.Rank = NoMerge;
            if (left.Next >= 0) symbols[left.Next].Previous = at;
            UpdateMerge(symbols, at, merges, ref heap);
            if (left.Previous >= 0) UpdateMerge(symbols, left.Previous, merges, ref heap);
        }
        if (rented is not null) ArrayPool<long>.Shared.Return(rented);
    }

    /// <summary>Looks up what a token and the next one become.</summary>
    static void UpdateMerge(Span<BpeSymbol> symbols, int at, BpeMergeTable merges, ref MinHeap heap)
    {
        ref var symbol = ref symbols[at];
        if (symbol.Next >= 0 && merges.TryFind(symbol.Id, symbols[symbol.Next].Id, out var merge))
        {
            (symbol.Rank, symbol.MergedId) = (merge.Rank, merge.Id);
            heap.Push((long)merge.Rank << 32 | (uint)at);
        }
        else
            symbol.Rank = NoMerge;
    }

    /// <summary>A binary heap in memory that the caller lends: rank in the upper half, place in the lower.</summary>
    ref struct MinHeap(Span<long> entries)
    {
        readonly Span<long> _entries = entries;
        int _count;

        public void Push(long entry)
        {
            int at = _count++;
            while (at > 0 && _entries[(at - 1) / 2] > entry)
            {
                _entries[at] = _entries[(at - 1) / 2];
                at = (at - 1) / 2;
            }
            _entries[at] = entry;
        }

        public bool TryPop(out long smallest)
        {
            if (_count == 0)
            {
                smallest = 0;
                return false;
            }
            smallest = _entries[0];
            long last = _entries[--_count];
            int at = 0;
            for (int child = 1; child < _count; child = at * 2 + 1)
            {
                if (child + 1 < _count && _entries[child + 1] < _entries[child]) child++;
                if (_entries[child] >= last) break;
                _entries[at] = _entries[child];
                at = child;
            }
            _entries[at] = last;
            return true;
        }
    }
}
