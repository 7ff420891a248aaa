using Ndif.Engine.Scheduling;

namespace Ndif.Engine.Tests.Scheduling;

public sealed class OwnerMemoryTests
{
    private readonly OwnerMemory _memory = new(1600);

    [Fact]
    public void OneOwner_MayHoldThreeQuarters_AndTheNextThreeQuartersOfTheRest()
    {
        Assert.Equal(1200, _memory.MostOfOwner);
        Assert.Equal(1200, _memory.FreeFor("eve"));
        _memory.Add("eve", 1200);
        Assert.Equal((0, 300), (_memory.FreeFor("eve"), _memory.FreeFor("ana")));
        _memory.Add("ana", 300);
        Assert.Equal((-225, 0, 75), (_memory.FreeFor("eve"), _memory.FreeFor("ana"), _memory.FreeFor("bob")));
        _memory.Add("eve", -1200);
        Assert.Equal((975, 300L), (_memory.FreeFor("eve"), _memory.Used));
    }

    [Fact]
    public void OwnersThatTakeAllTheyCan_EndWithTheSame()
    {
        string[] owners = ["eve", "ana", "bob"];
        _memory.Add("eve", 1200);
        for (int round = 0; round < 2000; round++)
            foreach (string owner in owners)
                _memory.Add(owner, _memory.FreeFor(owner) >= 1 ? 1 : _memory.FreeFor(owner) < 0 ? -1 : 0);
        Assert.All(owners, owner => Assert.InRange(_memory.FreeFor(owner), -2, 2));
        Assert.InRange(_memory.Used, 1600 * 0.9 - 5, 1600 * 0.9 + 5);
    }

    [Fact]
    public void WhatNeedsAllItsMemoryAtOnce_MayHaveWhatIsLeft_IfItsOwnerHasNone()
    {
        _memory.Add("eve", 1200);
        Assert.True(_memory.Fits("ana", 400));
        Assert.False(_memory.Fits("ana", 401));
        _memory.Add("ana", 100);
        Assert.True(_memory.Fits("ana", 200));
        Assert.False(_memory.Fits("ana", 201));
    }

    [Fact]
    public void WhileAnOwnerWaits_TheOthersLeaveItTheMemory()
    {
        _memory.Add("eve", 800);
        OwnerMemory.Wait wait = _memory.BeginWait("ana", 1000, atOnce: true);
        Assert.Equal(600 - 800, _memory.FreeFor("eve"));
        Assert.False(_memory.Fits("ana", 1000));
        _memory.Add("eve", -200);
        Assert.True(_memory.Fits("ana", 1000));
        _memory.EndWait(wait);
        _memory.BeginWait("ana", 300, atOnce: true);
        Assert.Equal(1200 - 600, _memory.FreeFor("eve"));
        _memory.Take("ana", 300);
        Assert.Equal(975 - 600, _memory.FreeFor("eve"));
    }

    [Fact]
    public void TheOwnerWhoWaitsFirst_ComesFirst()
    {
        _memory.Add("eve", 1200);
        _memory.BeginWait("ana", 700, atOnce: true);
        _memory.BeginWait("bob", 700, atOnce: true);
        _memory.Add("eve", -600);
        Assert.True(_memory.Fits("ana", 700));
        Assert.False(_memory.Fits("bob", 700));
        _memory.Take("ana", 700);
        _memory.Add("eve", -400);
        Assert.True(_memory.Fits("bob", 700));
    }

    [Fact]
    public void AnOwnerThatHasItsShare_KeepsNobodyWaiting()
    {
        _memory.Add("eve", 700);
        _memory.Add("ana", 100);
        _memory.BeginWait("eve", 300, atOnce: true);
        Assert.Equal(675 - 100, _memory.FreeFor("ana"));
        _memory.BeginWait("bob", 800, atOnce: true);
        Assert.Equal(700 - 700, _memory.FreeFor("eve")); // it leaves bob 800
        _memory.Add("ana", 100);
        _memory.Add("dan", 500);
        Assert.InRange(_memory.FreeFor("eve"), 239 - 700, 241 - 700); // 800 by 3 1/3
    }

    [Fact]
    public void WhatTakesItsMemoryByAndBy_IsLeftNoMoreThanAShare()
    {
        _memory.Add("eve", 1200);
        OwnerMemory.Wait wait = _memory.BeginWait("ana", 1200, atOnce: false);
        double share = 1600 / (2 + 1.0 / 3);
        Assert.InRange(_memory.FreeFor("eve") + 1200, share - 1, share + 1);
        _memory.Add("eve", (long)share - 1200);
        Assert.InRange(_memory.FreeFor("ana"), share - 2, share + 2);
        _memory.Add("ana", 400); // the rest is still left to it
        Assert.InRange(_memory.FreeFor("eve") + (long)share, share - 1, share + 1);
        Assert.InRange(_memory.FreeFor("ana"), share - 402, share - 398);
        _memory.EndWait(wait);
        Assert.Equal(900, _memory.FreeFor("eve") + (long)share);
    }

    [Fact]
    public void WhatAnOwnerWaitsFor_ComesOneAfterTheOther()
    {
        _memory.Add("eve", 1200);
        OwnerMemory.Wait first = _memory.BeginWait("ana", 500, atOnce: false), next = _memory.BeginWait("ana", 500, atOnce: false);
        Assert.False(_memory.IsOver(first) || _memory.IsOver(next));
        _memory.Add("eve", -600);
        Assert.True(_memory.IsOver(first));
        Assert.False(_memory.IsOver(next));
        _memory.EndWait(first);
        Assert.True(_memory.IsOver(next));
    }
}
