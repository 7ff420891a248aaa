using System.Collections.Concurrent;
using System.Diagnostics;
using Ndif.Engine.Local;
using Ndif.Engine.Running;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// Computes long operations beside the thread of a model, which serves other jobs meanwhile. It has a lower priority, which its threads of
/// arithmetic inherit, so that the passes of others come first.
/// </summary>
/// <remarks>Threads are kept, because each has threads of arithmetic of its own (OpenMP).</remarks>
internal static class OperationThread
{
    private const int Niceness = 15;

    private const int PollMilliseconds = 1;

    /// <summary>
    /// The longest operation that cannot be stopped takes half of this. Afterwards the calling thread makes no progress, which the watchdog
    /// of a worker sees.
    /// </summary>
    private static readonly TimeSpan _stopTimeout = TimeSpan.FromSeconds(2);

    private static readonly ConcurrentBag<ModelThread> _idle = [];

    /// <summary>Computes a value without a graph, and returns it in the dispose scope of the caller.</summary>
    /// <param name="arguments">The tensors that the value may contain without being new.</param>
    /// <param name="wait">Called again and again until the value is there. When it throws, the operation should end.</param>
    /// <param name="stop">Called when <paramref name="wait"/> has thrown.</param>
    /// <param name="runOthers">Called then again and again, until the operation has ended or <see cref="_stopTimeout"/> is over.</param>
    public static object? Run(Func<object?> compute, HashSet<Tensor> arguments, Action wait, Action stop, Action runOthers)
    {
        if (!_idle.TryTake(out ModelThread? thread)) thread = new ModelThread("long operations", Niceness);
        Task<Computed> computed = thread.RunAsync(() => Compute(compute, arguments));
        try
        {
            while (Task.WaitAny([computed], PollMilliseconds) < 0) wait();
        }
        catch
        {
            stop();
            long start = Stopwatch.GetTimestamp();
            while (Task.WaitAny([computed], PollMilliseconds) < 0 && Stopwatch.GetElapsedTime(start) < _stopTimeout) runOthers();
            Task.WaitAny(computed); // it reads what belongs to the caller
            if (computed.IsCompletedSuccessfully)
                foreach (Tensor tensor in computed.Result.NewTensors) tensor.Dispose();
            throw;
        }
        finally
        {
            _idle.Add(thread);
        }
        (object? value, List<Tensor> created) = computed.GetAwaiter().GetResult();
        using DisposeScope scope = NewDisposeScope();
        foreach (Tensor tensor in created)
        {
            scope.Attach(tensor);
            tensor.MoveToOuterDisposeScope();
        }
        return value;
    }

    /// <summary>Computes a value whose new tensors belong to no dispose scope.</summary>
    private static Computed Compute(Func<object?> compute, HashSet<Tensor> arguments)
    {
        using DisposeScope scope = NewDisposeScope();
        using var noGraph = no_grad();
        object? value = compute();
        List<Tensor> created = [];
        TensorOwnership.ForEachTensor(value, tensor =>
        {
            if (!arguments.Contains(tensor)) created.Add(tensor.DetachFromDisposeScope());
        });
        return new Computed(value, created);
    }

    private readonly record struct Computed(object? Value, List<Tensor> NewTensors);
}
