using System.Diagnostics;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Features;

/// <summary>A backward pass of seconds ends soon after its run is cancelled.</summary>
public sealed class BackwardCancellationTests
{
    [Theory, InlineData("elements"), InlineData("products")]
    public async Task ABackwardPass_EndsWhenItsRunIsCancelled(string kind)
    {
        LanguageModel llm = Backends.Model("local");
        using Trace t = llm.Trace("Hello", grad: true);
        Value hidden = llm.Layers[1].Hidden.RequiresGrad()[0, 0, 0];
        Value column = TensorData.FromArray(Enumerable.Repeat(1f, 1024).ToArray(), 1024, 1);
        Value square = hidden * 0
            + column * (1f / 1024) * column.MatMul(TensorData.FromArray(Enumerable.Repeat(1f, 1024).ToArray(), 1, 1024));
        Value loss = square[0, 0];
        for (int i = 1; i < 100; i++) loss = kind == "elements" ? loss + square[i, i] : loss + square.MatMul(square)[i, i];
        t.Log("forward");
        for (int i = 0; i < 40; i++) t.Backward(loss);
        t.Log("backward");
        using var cancel = new CancellationTokenSource();
        long cancelled = 0;
        List<string> log = [];
        t.OnLog = line =>
        {
            log.Add(line);
            cancel.Token.Register(() => cancelled = Stopwatch.GetTimestamp());
            cancel.CancelAfter(TimeSpan.FromSeconds(0.3));
        };
        await Assert.ThrowsAnyAsync<Exception>(() => t.RunAsync(cancel.Token));
        Assert.Equal(["forward"], log);
        Assert.InRange(Stopwatch.GetElapsedTime(cancelled).TotalSeconds, 0, 1);
    }
}
