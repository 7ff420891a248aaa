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

    /// <summary>A pass that runs between two parts of a loop does not see its memory, and both have every part once.</summary>
    [Fact]
    public void ALoop_CanRunInTheMiddleOfAnother()
    {
        const int Parts = 2000;
        using CapabilityLimit limit = CapabilityLimit.Of(CpuCapability.Avx512);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor x = randn(300, 768), w = randn(4096, 768), few = randn(70, 768);
        Tensor expected = LinearKernels.TryLinear(x, w, null)!, expectedOfFew = LinearKernels.TryLinear(few, w, null)!;
        int depth = 0, interruptions = 0;
        int[] runs = new int[Parts], nestedRuns = new int[Parts];
        using (SiteHook.Register(null, Interrupt))
        {
            KernelThreadPool.ParallelFor(Parts, part => Interlocked.Increment(ref runs[part]));
            Assert.True(expected.equal(LinearKernels.TryLinear(x, w, null)!).all().item<bool>());
        }
        Assert.All(runs, count => Assert.Equal(1, count));
        Assert.True(interruptions > 2);
        Assert.All(nestedRuns, count => Assert.Equal(interruptions, count));

        void Interrupt()
        {
            if (depth > 0 || interruptions > 100) return;
            depth++;
            interruptions++;
            KernelThreadPool.ParallelFor(Parts, part => Interlocked.Increment(ref nestedRuns[part]));
            Assert.True(expectedOfFew.equal(LinearKernels.TryLinear(few, w, null)!).all().item<bool>());
            depth--;
        }
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
