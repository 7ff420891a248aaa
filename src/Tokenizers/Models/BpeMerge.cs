using System.Numerics;

namespace Ndif.Tokenizers.Models;

/// <summary>What a pair of neighbouring tokens becomes; of all pairs in a word, the one with the lowest rank goes first.</summary>
internal readonly record struct BpeMerge(int Rank, int Id);

/// <summary>
/// All merges of a model by their pair, the hottest look-up there is: open addressing in one array, so that most questions
/// ("do these two merge?" - mostly not) cost one cache line. A Dictionary took twice the time with Gemma's 514,906 merges.
/// </summary>
internal sealed class BpeMergeTable
{
    record struct Slot(ulong Pair, BpeMerge Merge);

    readonly Slot[] _slots;
    readonly int _shift;
    int _count;

    public BpeMergeTable(int count)
    {
        int size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(count, 8, 1 << 28) * 2);
        _slots = new Slot[size];
        Array.Fill(_slots, new Slot(ulong.MaxValue, default));
        _shift = 64 - BitOperations.Log2((uint)size);
    }

    /// <summary>A pair that is given twice keeps what was said last.</summary>
    public void Set(int left, int right, BpeMerge merge)
    {
        ulong pair = Pair(left, right);
        int at = HashIndex(pair);
        for (; _slots[at].Pair != ulong.MaxValue; at = at + 1 & _slots.Length - 1)
        {
            if (_slots[at].Pair != pair) continue;
            _slots[at].Merge = merge;
            return;
        }
        if (++_count > _slots.Length / 2) throw new InvalidOperationException("more merges than were announced");
        _slots[at] = new Slot(pair, merge);
    }

    public bool TryFind(int left, int right, out BpeMerge merge)
    {
        ulong pair = Pair(left, right);
        for (int at = HashIndex(pair); ; at = at + 1 & _slots.Length - 1)
        {
            ref readonly var slot = ref _slots[at];
            if (slot.Pair == pair)
            {
                merge = slot.Merge;
                return true;
            }
            if (slot.Pair == ulong.MaxValue)
            {
                merge = default;
                return false;
            }
        }
    }

    static ulong Pair(int left, int right) => (ulong)(uint)left << 32 | (uint)right;

    /// <summary>
    /// Multiply-shift hashing (Dietzfelbinger 1997) with a factor that is drawn at start: no file can be made of pairs that collide.
    /// </summary>
    int HashIndex(ulong pair) => (int)(pair * _hashFactor >> _shift);

    static readonly ulong _hashFactor = (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue) | 1;
}
