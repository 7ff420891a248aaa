using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.CpuKernels;

public sealed class KernelThreadPoolTests
{
    [Fact]
    public void APass_ThatIsEndedBetweenTwoParts_LeavesTheRest_AndNobodyAtWork()
    {
        const int Parts = 10_000;
        int begun = 0, ended = 0;
        using (SiteHook.Register(null, () => throw new OperationCanceledException()))
        {
            Assert.Throws<OperationCanceledException>(() => KernelThreadPool.ParallelFor(Parts, _ =>
            {
                Interlocked.Increment(ref begun);
                Thread.Sleep(1);
                Interlocked.Increment(ref ended);
            }));
            Assert.Equal(ended, begun);
            Assert.InRange(begun, 1, Parts / 2);
        }
        KernelThreadPool.ParallelFor(Parts, _ => Interlocked.Increment(ref ended));
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
        using (SiteHook.Register(null, () => pauses++)) LinearKernels.TryLinear(x, w, null);
        Assert.InRange(pauses, 8, 256);
    }
}
