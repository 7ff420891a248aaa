using static TorchSharp.torch;

namespace Ndif.Models.Tests.FewRows;

public sealed class CrewTests
{
    [Fact]
    public void APass_ThatIsEndedBetweenTwoParts_LeavesTheRest_AndNobodyAtWork()
    {
        const int Parts = 10_000;
        int begun = 0, ended = 0;
        using (SiteObserver.Watch(null, () => throw new OperationCanceledException()))
        {
            Assert.Throws<OperationCanceledException>(() => Crew.Run(Parts, _ =>
            {
                Interlocked.Increment(ref begun);
                Thread.Sleep(1);
                Interlocked.Increment(ref ended);
            }));
            Assert.Equal(ended, begun);
            Assert.InRange(begun, 1, Parts / 2);
        }
        Crew.Run(Parts, _ => Interlocked.Increment(ref ended));
        Assert.Equal(begun + Parts, ended);
    }

    [Fact]
    public void AProduct_ComesToAPause_AsOftenAsItIsLong()
    {
        using CapabilityLimit limit = CapabilityLimit.Of(CpuCapability.Avx512);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor x = randn(256, 768), w = randn(4096, 768);
        int pauses = 0;
        using (SiteObserver.Watch(null, () => pauses++)) Products.ByRows(x, w, null);
        Assert.InRange(pauses, 8, 256);
    }
}
