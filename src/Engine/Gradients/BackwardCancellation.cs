using Ndif.Engine.Kernels;
using Ndif.Engine.Kernels.Costs;
using Ndif.Engine.Running;
using Ndif.Models;
using TorchSharp;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Gradients;

/// <summary>
/// Makes the backward passes of a job end soon when it is cancelled, and says what memory they take. A backward pass is one native call,
/// but it calls the hooks of the tensors of its graph: wherever about <see cref="WorkBetween"/> has been recorded since the last one, a
/// tensor gets a hook that looks at the cancellation.
/// </summary>
/// <remarks>
/// A hook must not throw, but may return another gradient, and libtorch ends the pass with an exception if that has another shape
/// (check_variable_result in torch/csrc/autograd/variable.cpp).
/// </remarks>
/// <param name="getEndCount">How often the graph of the job has ended, so that it began again.</param>
internal sealed class BackwardCancellation(JobRun job, Func<int> getEndCount)
{
    /// <summary>Additions of elements; about 0.1 s.</summary>
    private const double WorkBetween = 1e8;

    /// <summary>Operations of matrix products in the time of an addition of elements.</summary>
    private const double FlopsOfElement = 30;

    /// <summary>The gradients of an operation take about twice its work: one for each of two factors.</summary>
    private const double Passes = 2;

    private double _work, _workspaceBytes;
    private int _endCount;

    /// <summary>
    /// The memory of the largest step of a backward pass through the graph: the gradients of the results and of the arguments of an
    /// operation, once more while they are added to others, and its workspace.
    /// </summary>
    public double MaxStepBytes { get; private set; }

    /// <summary>An operation was recorded in a graph.</summary>
    public void OnRecorded(in OpArguments a, object? result, in OpCost cost)
    {
        if (getEndCount() is var count && count != _endCount) (MaxStepBytes, _endCount) = (0, count);
        double elements = 0, bytes = 0;
        for (int i = 0; i < a.Count; i++)
            foreach (Tensor argument in TensorsOf(a[i]))
                if (argument.requires_grad) Add(argument); // the gradient of a slice is a whole tensor
        foreach (Tensor tensor in TensorsOf(result)) Add(tensor);
        _workspaceBytes = cost.WorkspaceBytes;
        MaxStepBytes = Math.Max(MaxStepBytes, Passes * bytes + cost.WorkspaceBytes);
        _work += Passes * (cost.Elements + elements + cost.Flops / FlopsOfElement);
        if (_work >= WorkBetween) Attach(result);

        void Add(Tensor tensor)
        {
            double count = tensor.numel();
            (elements, bytes) = (elements + count, bytes + count * tensor.element_size());
        }
    }

    /// <summary>
    /// Returns what an operation that was recorded has computed beside its result, in bytes, and forgets it. Zero if none was recorded.
    /// </summary>
    public double TakeWorkspaceBytes()
    {
        double bytes = _workspaceBytes;
        _workspaceBytes = 0;
        return bytes;
    }

    /// <summary>Makes a backward pass look at the cancellation when it comes to a value, which is or has a tensor of its graph.</summary>
    public void Attach(object? value)
    {
        if (!GradientHook.IsSupported) return;
        foreach (Tensor tensor in TensorsOf(value))
        {
            if (!tensor.requires_grad || tensor.is_leaf) continue;
            _work = 0;
            GradientHook.Register(tensor, Check); // belongs to the graph
            return;
        }
    }

    /// <summary>A gradient that ends the pass.</summary>
    public static Tensor Abort(Tensor gradient) => gradient.unsqueeze(0);

    private Tensor? Check(Tensor gradient)
    {
        job.Work?.MakeProgress();
        return job.CancellationToken.IsCancellationRequested ? Abort(gradient) : null;
    }

    private static IEnumerable<Tensor> TensorsOf(object? value) => value switch
    {
        Tensor tensor => [tensor],
        IEnumerable<object?> items => items.SelectMany(TensorsOf),
        _ => [],
    };
}
