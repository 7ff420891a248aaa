using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Tests;

public sealed class QueueJobIdsTests
{
    [Theory]
    [InlineData("run-1", "run-1.k7f3q2aa")]
    [InlineData("run-1.k7f3q2aa", "run-1.k7f3q2aa")]
    [InlineData("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef")]
    [InlineData("0123456789abcdef0123456789abcdef.k7f3q2aa", "0123456789abcdef0123456789abcdef")]
    [InlineData("0123456789ABCDEF0123456789ABCDEF", "0123456789ABCDEF0123456789ABCDEF.k7f3q2aa")]
    [InlineData("run-1.another1", null)]
    [InlineData("run-1.k7f3q2aa.k7f3q2aa", null)]
    [InlineData(".k7f3q2aa", null)]
    [InlineData("", null)]
    [InlineData("../run", null)]
    [InlineData("run 1", null)]
    public void Find_AddsTheOwner_ToAnIdThatAUserChose(string id, string? queueId)
    {
        Assert.Equal(queueId, QueueJobIds.Find(id, "k7f3q2aa"));
        if (queueId is null) return;
        Assert.True(QueueJobIds.IsValid(queueId));
        Assert.StartsWith(QueueJobIds.GetOwnersId(queueId), id, StringComparison.Ordinal);
        Assert.Equal(queueId, QueueJobIds.Find(QueueJobIds.GetOwnersId(queueId), "k7f3q2aa"));
    }

    [Fact]
    public void Find_GivesDifferentOwners_DifferentIds()
    {
        string[] owners = ["a", "b", "ab", "k7f3q2aa"], ids = ["run", "run-1", new string('x', 64)];
        string?[] found = [.. owners.SelectMany(owner => ids.Select(id => QueueJobIds.Find(id, owner)))];
        Assert.Equal(owners.Length * ids.Length, found.Distinct().Count());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(".a")]
    [InlineData("a/b")]
    [InlineData("a.b c")]
    [InlineData("a.\u00e9")]
    public void IsValid_RefusesWhatIsNoId(string? id) => Assert.False(QueueJobIds.IsValid(id));

    [Fact]
    public void ANewId_HasNoOwner_AndSortsByTime()
    {
        string id = JobIds.New();
        Assert.Equal(id, QueueJobIds.Find(id, "k7f3q2aa"));
        Assert.True(JobIds.IsValid(id));
        Assert.NotEqual(id, JobIds.New());
    }

    [Fact]
    public void GetRequeueId_IsARandomId_TheSameForTheSameJob()
    {
        string id = QueueJobIds.GetRequeueId("run-1.k7f3q2aa");
        Assert.Equal(id, QueueJobIds.GetRequeueId("run-1.k7f3q2aa"));
        Assert.NotEqual(id, QueueJobIds.GetRequeueId("run-1.another1"));
        Assert.Equal(id, QueueJobIds.Find(id, "k7f3q2aa"));
    }
}
