using System.Buffers;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// Merges the pairs of a word in the order of their ranks, and pairs of equal rank from left to right. It takes O(n log n) time, which
/// matters because SentencePiece-style tokenizers treat a whole prompt as one word.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/bpe/word.rs, Word::merge_all</remarks>
internal static class BpeMerger
{
    /// <summary>The rank of a pair that does not merge.</summary>
    public const int NoMerge = int.MaxValue;

    /// <summary>
    /// Merges the symbols of a word. Afterwards, the tokens are the symbols of the linked list that starts at the first.
    /// </summary>
    public static void Merge(Span<BpeSymbol> symbols, BpeMergeTable merges)
    {
        if (symbols.Length == 0) return;

        // There are n - 1 pairs at the start, and each of at most n - 1 merges creates at most two new pairs.
        int maxEntries = symbols.Length * 3;
        long[]? rented = maxEntries > 384 ? ArrayPool<long>.Shared.Rent(maxEntries) : null;
        var heap = new MinHeap(rented ?? stackalloc long[maxEntries]);

        for (int i = 0; i < symbols.Length; i++)
        {
            symbols[i].Previous = i - 1;
            symbols[i].Next = i + 1 < symbols.Length ? i + 1 : -1;
        }
        for (int i = 0; i < symbols.Length; i++) UpdateMerge(symbols, i, merges, ref heap);

        while (heap.TryPop(out long entry))
        {
            int index = (int)(uint)entry, rank = (int)(entry >> 32);
            ref var left = ref symbols[index];
            if (left.Rank != rank) continue; // the entry is obsolete: one of the two symbols has merged with another

            ref var right = ref symbols[left.Next];
            left.Id = left.MergedId;
            left.End = right.End;
            left.Next = right.Next;
            right.Rank = NoMerge;
            if (left.Next >= 0) symbols[left.Next].Previous = index;
            UpdateMerge(symbols, index, merges, ref heap);
            if (left.Previous >= 0) UpdateMerge(symbols, left.Previous, merges, ref heap);
        }
        if (rented is not null) ArrayPool<long>.Shared.Return(rented);
    }

    /// <summary>Looks up the merge of a symbol with the next one and adds it to the heap.</summary>
    private static void UpdateMerge(Span<BpeSymbol> symbols, int index, BpeMergeTable merges, ref MinHeap heap)
    {
        ref var symbol = ref symbols[index];
        if (symbol.Next >= 0 && merges.TryFind(symbol.Id, symbols[symbol.Next].Id, out var merge))
        {
            (symbol.Rank, symbol.MergedId) = (merge.Rank, merge.Id);
            heap.Push((long)merge.Rank << 32 | (uint)index);
        }
        else
            symbol.Rank = NoMerge;
    }

    /// <summary>A binary heap in the caller's memory. The upper half of an entry is a rank, the lower half the index of a symbol.</summary>
    private ref struct MinHeap(Span<long> entries)
    {
        readonly Span<long> _entries = entries;
        int _count;

        public void Push(long entry)
        {
            int index = _count++;
            while (index > 0 && _entries[(index - 1) / 2] > entry)
            {
                _entries[index] = _entries[(index - 1) / 2];
                index = (index - 1) / 2;
            }
            _entries[index] = entry;
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
            int index = 0;
            for (int child = 1; child < _count; child = index * 2 + 1)
            {
                if (child + 1 < _count && _entries[child + 1] < _entries[child]) child++;
                if (_entries[child] >= last) break;
                _entries[index] = _entries[child];
                index = child;
            }
            _entries[index] = last;
            return true;
        }
    }
}
