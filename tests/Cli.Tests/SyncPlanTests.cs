using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Tests;

public sealed class SyncPlanTests
{
    private static readonly Deployment[] _current =
    [
        new()
        {
            Model = "a",
            Replicas = 1,
        }, new()
        {
            Model = "b",
            Replicas = 2,
            Pinned = true,
        }, new() { Model = "b", Revision = "r", Replicas = 1, Dtype = DataType.Float16 },
    ];

    [Fact]
    public void WhatDiffers_Changes_AndWhatIsMissing_StaysUnlessPruned()
    {
        Deployment[] wanted =
            [new() { Model = "b", Replicas = 1 }, new() { Model = "b", Revision = "r", Replicas = 1 },
                new() { Model = "c", Replicas = 3, Pinned = true }];
        SyncPlan plan = SyncPlan.Create(wanted, _current, prune: false);
        Assert.Equal(
            ["~ b: not pinned any more, replicas 2 -> 1", "~ b@r: dtype float16 -> the worker's", "+ c: pinned, 3 replicas",
                "= a: not in the file; --prune takes it off"], plan.Lines);
        Assert.Equal(wanted, plan.Set);
        Assert.Empty(plan.Evict);
        SyncPlan pruned = SyncPlan.Create(wanted, _current, prune: true);
        Assert.Equal("- a", pruned.Lines[^1]);
        Assert.Equal([_current[0]], pruned.Evict);
    }

    [Fact]
    public void WhatIsEqual_IsLeftAlone()
    {
        Deployment[] same = [.. _current.Select(d => d.Clone())];
        foreach (Deployment one in same) one.Changed = Google.Protobuf.WellKnownTypes.Timestamp.FromDateTime(DateTime.UnixEpoch);
        SyncPlan plan = SyncPlan.Create(_current, same, prune: true);
        Assert.True(plan.IsEmpty);
        Assert.Empty(plan.Lines);
    }
}
