using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// A backward pass, interleaved with the statements of its block as a forward pass is with those of an invoke.
/// <code>
///   backward:   loss ── ... ── h.2 ──●──────────── h.1 ──●── ...
///                                    │ ▲                 │ ▲
///   block:      waits for h.2.grad ──┘ └ edits, waits ───┘ └ ...
/// </code>
/// 1. Every value whose gradient the block accesses, or the program retains, gets a hook.
/// 2. The block runs until it needs a gradient; then the backward pass starts.
/// 3. When the gradient arrives, the block runs until it needs another one. Its edits of the gradient flow on.
/// 4. At the end the hooks are removed. A block that still waits has asked for a gradient that does not exist.
/// The graph is kept until the tensors of its trace are freed, so a second backward pass may follow.
/// </summary>
internal sealed class BackwardPass(BackwardStatement statement, Interpreter interpreter) : StatementBlock
{
    private readonly Dictionary<nint, HookedTensor> _hookedTensors = [];
    private readonly Dictionary<uint, HookedTensor> _byNode = [];
    private HookedTensor? _current;
    private Exception? _failure;

    private JobRun Job => interpreter.Job;

    private Plan Plan => Job.Plan;

    /// <exception cref="NdifException">
    /// NO_GRADIENT: there is no graph, or the loss does not depend on a value. The error of a statement in the block.
    /// </exception>
    public void Run()
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor loss = EvaluateLoss(out torch.Tensor? gradient);
        if (Job.Limits.Backward is { } limits) Job.Limits.RequireMemory("The backward pass", limits.MaxStepBytes, 0);
        foreach (uint node in statement.AccessedGradients.Concat(Plan.Autograd.RetainsGrad).Distinct()) AddHookedTensor(node);
        // 1
        List<GradientHook> hooks =
            [.. _hookedTensors.Values.Select(hooked => GradientHook.Register(hooked.Tensor, g => OnGradient(hooked, g)))];
        try
        {
            interpreter.RunBlock(this);                                                                                       // 2
            Job.Work?.BeginStatement(Job, statement.Id);
            loss.backward(gradient is null ? null! : [gradient], retain_graph: true);                                          // 3
        }
        catch (Exception) when (_failure is not null)
        {
            // a hook has ended the pass
        }
        catch (Exception) when (Job.CancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException();
        }
        catch (Exception e)
        {
            throw ForwardErrorTranslator.Translate(e, "The backward pass",
                "An in-place edit of a value that the graph needs (`x[..] = v`, `x += v` on a tensor) "
                + "breaks it: assign a new value instead.");
        }
        finally
        {
            foreach (GradientHook hook in hooks) hook.Dispose();                                                              // 4
            foreach (HookedTensor hooked in _hookedTensors.Values) hooked.Gradient?.Dispose();
        }
        if (_failure is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
        if (!IsComplete && interpreter.WaitReason is WaitReason.Gradient)
            throw Errors.CreateException(ErrorCode.NoGradient,
                $"The gradient of {Plan.DescribeValue(interpreter.AwaitedNode)} was not computed: the loss does not depend on it.",
                "Read the gradient of a value that the loss was computed "
                + "from, as the model or your program used it; not of a copy beside it.");
    }

    /// <summary>Whether the pass is at this value; false if it has not reached it yet.</summary>
    /// <exception cref="OutOfOrderException">The pass has already passed the value.</exception>
    public bool IsAt(uint node)
    {
        HookedTensor hooked = _byNode[node];
        if (hooked.HasPassed)
            throw Errors.CreateException(ErrorCode.OutOfOrder,
                $"The gradient of {Plan.DescribeValue(node)} was missed: the backward pass had already run past it when it was accessed.",
                "In a backward block access gradients in reverse order: first of what the model computed last.");
        return hooked == _current;
    }

    /// <summary>The gradient of the current value, borrowed. It may be edited in place.</summary>
    public torch.Tensor Gradient => _current!.Gradient!;

    /// <summary>Replaces the gradient of the current value.</summary>
    public void ReplaceGradient(object? value)
    {
        using var scope = torch.NewDisposeScope();
        _current!.Gradient = CoerceGradient(value, _current.Gradient!).DetachFromDisposeScope();
    }

    /// <summary>Converts the new value of a gradient to a tensor of its shape and element type, in the current dispose scope.</summary>
    public static torch.Tensor CoerceGradient(object? value, torch.Tensor gradient)
    {
        torch.Tensor tensor = value switch
        {
            torch.Tensor given => given,
            long or double or bool => torch.full_like(gradient, Convert.ToDouble(value, System.Globalization.CultureInfo.InvariantCulture)),
            _ => throw Errors.CreateException(ErrorCode.BadArgument, "A gradient can be replaced by a tensor or a number."),
        };
        if (!tensor.shape.SequenceEqual(gradient.shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A gradient of shape [{string.Join(", ", gradient.shape)}] cannot be replaced by [{string.Join(", ", tensor.shape)}].",
                "A gradient has the shape of its value.");
        ElementCategories.Check(gradient.dtype, tensor.dtype, "Grad");
        return tensor.detach().to(gradient.dtype, gradient.device);
    }

    private torch.Tensor EvaluateLoss(out torch.Tensor? gradient)
    {
        gradient = null;
        if (statement.Loss.Evaluate(Job.Slots) is not torch.Tensor loss)
            throw Errors.CreateException(ErrorCode.BadArgument, "Only a tensor has a backward pass.");
        if (!loss.requires_grad)
            throw Errors.CreateException(ErrorCode.NoGradient, "The loss does not depend on anything that requires a gradient.",
                "Read the gradient of a value of the model it was computed from (`h.Grad`), call RequiresGrad() on it, or use a "
                + "parameter; and open the trace with grad: true.");
        if (statement.Gradient?.Evaluate(Job.Slots) is { } given) gradient = CoerceGradient(given, loss);
        else if (loss.numel() != 1)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A gradient can be begun by itself only for a scalar; the loss has the shape [{string.Join(", ", loss.shape)}].",
                "Reduce it (`loss.Sum()`, `loss.Mean()`), or pass the gradient to begin with.");
        return loss;
    }

    private void AddHookedTensor(uint node)
    {
        bool isAccessed = statement.AccessedGradients.Contains(node);
        if (!Job.Slots.Has(node))
        {
            if (!isAccessed) return; // computed by another invoke that has not run, or in an iteration that is over
            throw Errors.CreateException(ErrorCode.NoGradient,
                $"There is no gradient of {Plan.DescribeValue(node)}: it is computed in the backward block itself.",
                "Compute the value before the block.");
        }
        if (TensorOf(node) is not { } tensor)
        {
            if (isAccessed)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"Only tensors have gradients; {Plan.DescribeValue(node)} is {ValueFormatter.Format(Job.Slots[node])}.",
                    "Index a tuple first: `.Output[0]`.");
            return;
        }
        if (!tensor.requires_grad)
        {
            if (isAccessed)
                throw Errors.CreateException(ErrorCode.NoGradient,
                    $"No graph was made for {Plan.DescribeValue(node)}, so it has no gradient.",
                    "It must be computed from values of a trace with grad: true that require one.");
            return;
        }
        nint identity = GradientHook.Identity(tensor);
        if (!_hookedTensors.TryGetValue(identity, out HookedTensor? hooked)) _hookedTensors[identity] = hooked = new HookedTensor(tensor);
        hooked.Nodes.Add(node);
        _byNode[node] = hooked;
    }

    /// <summary>The tensor of the graph that is the value of a node. For a parameter it is the tensor of the model.</summary>
    private torch.Tensor? TensorOf(uint node) => Plan.OriginOf(node) is ParameterStatement parameter
        ? Plan.Model.Parameter(parameter.Module, parameter.Name)
        : Job.Slots[node] as torch.Tensor;

    /// <summary>
    /// Called by libtorch when the pass reaches a value. Must not throw: an exception is stored and rethrown after the pass.
    /// </summary>
    private torch.Tensor? OnGradient(HookedTensor hooked, torch.Tensor gradient)
    {
        if (_failure is not null) return BackwardCancellation.Abort(gradient);
        try
        {
            Job.Work?.BeginStatement(Job, statement.Id);
            if (Job.CheckCancelled()) throw new OperationCanceledException();
            using var scope = torch.NewDisposeScope();
            _current = hooked;
            bool isAwaited = interpreter.WaitReason is WaitReason.Gradient && hooked.Nodes.Contains(interpreter.AwaitedNode);
            if (isAwaited)
            {
                hooked.Gradient = gradient.clone().DetachFromDisposeScope();
                interpreter.RunBlock(this);
            }
            foreach (uint node in hooked.Nodes.Where(Plan.Autograd.RetainsGrad.Contains))
                Job.Slots.AddGradient(node, hooked.Gradient ?? gradient);
            (_current, hooked.HasPassed) = (null, true);
            Job.Work?.BeginStatement(Job, statement.Id);
            return hooked.Gradient;
        }
        catch (Exception e)
        {
            _failure = e;
            return BackwardCancellation.Abort(gradient);
        }
    }

    /// <summary>A tensor of the graph and the nodes whose value it is.</summary>
    private sealed class HookedTensor(torch.Tensor tensor)
    {
        public torch.Tensor Tensor { get; } = tensor;

        public List<uint> Nodes { get; } = [];

        public bool HasPassed { get; set; }

        /// <summary>The gradient that flows on, if the block accessed it; owned by this object.</summary>
        public torch.Tensor? Gradient
        {
            get;
            set
            {
                field?.Dispose();
                field = value;
            }
        }
    }
}
