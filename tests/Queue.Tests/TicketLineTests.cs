namespace Ndif.Queue.Tests;

/// <summary>The line in runs is the sorted list that it stands for, also where runs part and vanish.</summary>
public sealed class TicketLineTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void ALongLine_KeepsTheOrder_AndKnowsEachPosition(int seed)
    {
        var chance = new Random(seed);
        var line = new TicketLine();
        List<Ticket> all = [];
        for (int i = 0; i < 20_000; i++)
        {
            if (all.Count > 0 && chance.Next(all.Count < 3000 ? 10 : 2) == 0)
            {
                int at = chance.Next(all.Count);
                line.Remove(all[at]);
                all.RemoveAt(at);
            }
            else
            {
                // many equal tags, and those at the front
                var ticket = new Ticket($"{i}", "ana", i, 1) { Tag = chance.Next(20) == 0 ? double.NegativeInfinity : chance.Next(500) };
                line.Add(ticket);
                all.Insert(~all.BinarySearch(ticket, Ticket.Order), ticket);
            }
            Assert.Equal((all.Count, all.FirstOrDefault()), (line.Count, line.First));
            if (all.Count == 0) continue;
            int some = chance.Next(all.Count);
            Assert.Equal(some + 1, line.PositionOf(all[some]));
        }
        Assert.True(all.Count > 2000);
        Assert.Equal(0, line.PositionOf(new Ticket("x", "ana", -1, 1) { Tag = 3 }));
        while (all.Count > 0)
        {
            Assert.Same(all[0], line.First);
            line.Remove(all[0]);
            all.RemoveAt(0);
        }
        Assert.Equal((0, null), (line.Count, line.First));
    }
}
