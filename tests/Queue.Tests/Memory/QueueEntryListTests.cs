using Ndif.Queue.Memory;

namespace Ndif.Queue.Tests.Memory;

/// <summary>The list of runs equals a sorted list, also when runs are split and removed.</summary>
public sealed class QueueEntryListTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void ALongLine_KeepsTheOrder_AndKnowsEachPosition(int seed)
    {
        var random = new Random(seed);
        var list = new QueueEntryList();
        List<QueueEntry> all = [];
        for (int i = 0; i < 20_000; i++)
        {
            if (all.Count > 0 && random.Next(all.Count < 3000 ? 10 : 2) == 0)
            {
                int at = random.Next(all.Count);
                list.Remove(all[at]);
                all.RemoveAt(at);
            }
            else
            {
                // many equal tags, and tags that sort first
                var entry = new QueueEntry(
                    $"{i}", "ana", i, 1) { StartTag = random.Next(20) == 0 ? double.NegativeInfinity : random.Next(500) };
                list.Add(entry);
                all.Insert(~all.BinarySearch(entry, QueueEntry.ByStartTag), entry);
            }
            Assert.Equal((all.Count, all.FirstOrDefault()), (list.Count, list.First));
            if (all.Count == 0) continue;
            int some = random.Next(all.Count);
            Assert.Equal(some + 1, list.GetPosition(all[some]));
        }
        Assert.True(all.Count > 2000);
        Assert.Equal(0, list.GetPosition(new QueueEntry("x", "ana", -1, 1) { StartTag = 3 }));
        while (all.Count > 0)
        {
            Assert.Same(all[0], list.First);
            list.Remove(all[0]);
            all.RemoveAt(0);
        }
        Assert.Equal((0, null), (list.Count, list.First));
    }
}
