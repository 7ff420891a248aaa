using static TorchSharp.torch;

namespace Ndif.Models.Tests;

public sealed class GradientHookTests
{
    [Fact]
    public void AHook_SeesTheGradient_AndReplacesIt()
    {
        using var scope = NewDisposeScope();
        using var graph = enable_grad();
        Tensor x = tensor(new float[] { 1, 2, 3 }).requires_grad_(true);
        Tensor y = x * 2;
        float[] seen = [];
        using (GradientHook.Register(y, g => { seen = g.data<float>().ToArray(); return g * 10; }))
            (y * y).sum().backward();

        Assert.Equal([4f, 8, 12], seen);
        Assert.Equal([80f, 160, 240], x.grad!.data<float>().ToArray());
    }

    [Fact]
    public void ADisposedHook_IsNotCalled_AndNullLeavesTheGradient()
    {
        using var scope = NewDisposeScope();
        using var graph = enable_grad();
        Tensor x = tensor(new float[] { 1, 2 }).requires_grad_(true);
        Tensor y = x * 3;
        int calls = 0;
        GradientHook hook = GradientHook.Register(y, _ => { calls++; return null; });
        y.sum().backward(retain_graph: true);
        hook.Dispose();
        y.sum().backward();

        Assert.Equal(1, calls);
        Assert.Equal([6f, 6], x.grad!.data<float>().ToArray());
    }

    [Fact]
    public void TheDelegate_GoesWithTheGraph()
    {
        WeakReference held = Once();
        for (int i = 0; i < 5 && held.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.False(held.IsAlive);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static WeakReference Once()
        {
            using var scope = NewDisposeScope();
            using var graph = enable_grad();
            object mark = new();
            Tensor y = ones(2).requires_grad_(true) * 2;
            GradientHook.Register(y, g => mark is null ? g : null);
            y.sum().backward();
            return new WeakReference(mark);
        }
    }

    [Fact]
    public void TwoHandlesOfOneTensor_AreTheSame()
    {
        using var scope = NewDisposeScope();
        Tensor x = ones(2);
        Assert.Equal(GradientHook.Identity(x), GradientHook.Identity(x.alias()));
        Assert.NotEqual(GradientHook.Identity(x), GradientHook.Identity(x.clone()));
    }
}
