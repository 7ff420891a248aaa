using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// A backward pass, interleaved with the statements of its block as a forward is with an invoke's.
/// <code>
///   backward:   loss ── ... ── h.2 ──●──────────── h.1 ──●── ...
///                                    │ ▲                 │ ▲
///   block:      waits for h.2.grad ──┘ └ edits, waits ───┘ └ ...
/// </code>
/// 1. A hook is put on every value whose gradient the block accesses, or the program later.
/// 2. The block runs until it needs a gradient; the pass begins.
/// 3. When the gradient comes, the block goes on until it needs another one; what it made of this one is what flows on.
/// 4. At the end the hooks go; a block that still waits asked for what never came.
/// The graph stays until its trace's tensors are gone, so a second pass may follow.
/// </summary>
internal sealed class BackwardPass(BackwardStatement statement, Interpreter interpreter) : StatementBlock
{
    private readonly Dictionary<nint, HookedTensor> _hookedTensors = [];
    private readonly Dictionary<uint, HookedTensor> _byNode = [];
    private HookedTensor? _current;
    private Exception? _failure;

    private JobRun Job => interpreter.Job;

    private Plan Plan => Job.Plan;

    /// <exception cref="NdifException">NO_GRADIENT if there is no graph; whatever a statement of the block fails with.</exception>
    public void Run()
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor loss = EvaluateLoss(out torch.Tensor? gradient);
        foreach (uint node in statement.AccessedGradients.Concat(Plan.Autograd.RetainsGrad).Distinct()) AddHookedTensor(node);
        List<GradientHook> hooks = [.. _hookedTensors.Values.Select(place => GradientHook.Register(place.Tensor, g => OnGradient(place, g)))]; // 1
        try
        {
            interpreter.RunBlock(this);                                                                                       // 2
            loss.backward(gradient is null ? null! : [gradient], retain_graph: true);                                          // 3
        }
        catch (Exception e) when (_failure is null)
        {
            throw ForwardErrorTranslator.Translate(e, "The backward pass", "An in-place edit of a value that the graph needs (`x[..] = v`, `x += v` on a tensor) breaks it: assign a new value instead.");
        }
        finally
        {
            foreach (GradientHook hook in hooks) hook.Dispose();                                                              // 4
            foreach (HookedTensor place in _hookedTensors.Values) place.Gradient?.Dispose();
        }
        if (_failure is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(_failure);
        if (!IsComplete && interpreter.WaitReason is WaitReason.Gradient)
            throw Errors.CreateException(ErrorCode.NoGradient, $"The gradient of {Plan.DescribeValue(interpreter.AwaitedNode)} never came: the loss does not depend on it.",
                "Read the gradient of a value that the loss was computed from, as the model or your program used it; not of a copy beside it.");
    }

    /// <summary>True if the pass stands at this value; false if it has yet to come.</summary>
    /// <exception cref="OutOfOrderException">It has gone past.</exception>
    public bool IsAt(uint node)
    {
        HookedTensor place = _byNode[node];
        if (place.HasPassed)
            throw Errors.CreateException(ErrorCode.OutOfOrder, $"The gradient of {Plan.DescribeValue(node)} was missed: the backward pass had already run past it when it was accessed.",
                "In a backward block access gradients in reverse order: first of what the model computed last.");
        return place == _current;
    }

    /// <summary>The gradient at the place where the pass stands, borrowed. It may be edited in place.</summary>
    public torch.Tensor Gradient => _current!.Gradient!;

    /// <summary>Another gradient flows on from here.</summary>
    public void ReplaceGradient(object? value)
    {
        using var scope = torch.NewDisposeScope();
        _current!.Gradient = CoerceGradient(value, _current.Gradient!).DetachFromDisposeScope();
    }

    /// <summary>A gradient's new value as a tensor of its shape and type, in the current dispose scope.</summary>
    public static torch.Tensor CoerceGradient(object? value, torch.Tensor gradient)
    {
        torch.Tensor tensor = value switch
        {
            torch.Tensor given => given,
            long or double or bool => torch.full_like(gradient, Convert.ToDouble(value, System.Globalization.CultureInfo.InvariantCulture)),
            _ => throw Errors.CreateException(ErrorCode.BadArgument, "A gradient can be replaced by a tensor or a number."),
        };
        if (!tensor.shape.SequenceEqual(gradient.shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"A gradient of shape [{string.Join(", ", gradient.shape)}] cannot be replaced by [{string.Join(", ", tensor.shape)}].",
                "A gradient has the shape of its value.");
        return tensor.detach().to(gradient.dtype, gradient.device);
    }

    private torch.Tensor EvaluateLoss(out torch.Tensor? gradient)
    {
        gradient = null;
        if (statement.Loss.Evaluate(Job.Slots) is not torch.Tensor loss)
            throw Errors.CreateException(ErrorCode.BadArgument, "Only a tensor has a backward pass.");
        if (!loss.requires_grad)
            throw Errors.CreateException(ErrorCode.NoGradient, "The loss does not depend on anything that requires a gradient.",
                "Read the gradient of a value of the model it was computed from (`h.Grad`), call RequiresGrad() on it, or use a parameter; and open the trace with grad: true.");
        if (statement.Gradient?.Evaluate(Job.Slots) is { } given) gradient = CoerceGradient(given, loss);
        else if (loss.numel() != 1)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"A gradient can be begun by itself only for a scalar; the loss has the shape [{string.Join(", ", loss.shape)}].",
                "Reduce it (`loss.Sum()`, `loss.Mean()`), or pass the gradient to begin with.");
        return loss;
    }

    private void AddHookedTensor(uint node)
    {
        bool asked = statement.AccessedGradients.Contains(node);
        if (!Job.Slots.Has(node))
        {
            if (!asked) return; // another one's, or of a turn that is over
            throw Errors.CreateException(ErrorCode.NoGradient, $"There is no gradient of {Plan.DescribeValue(node)}: it is computed in the backward block itself.",
                "Compute before the block what you ask the gradient of.");
        }
        if (TensorOf(node) is not { } tensor)
        {
            if (asked) throw Errors.CreateException(ErrorCode.BadArgument, $"Only tensors have gradients; {Plan.DescribeValue(node)} is {ValueFormatter.Format(Job.Slots[node])}.", "Index a tuple first: `.Output[0]`.");
            return;
        }
        if (!tensor.requires_grad)
        {
            if (asked) throw Errors.CreateException(ErrorCode.NoGradient, $"No graph was made for {Plan.DescribeValue(node)}, so it has no gradient.", "It must be computed from values of a trace with grad: true that require one.");
            return;
        }
        nint identity = GradientHook.Identity(tensor);
        if (!_hookedTensors.TryGetValue(identity, out HookedTensor? place)) _hookedTensors[identity] = place = new HookedTensor(tensor);
        place.Nodes.Add(node);
        _byNode[node] = place;
    }

    /// <summary>The tensor of the graph that a node stands for: a parameter's is the model's own.</summary>
    private torch.Tensor? TensorOf(uint node) => Plan.Statements[node] is ParameterStatement parameter
        ? Plan.Model.Parameter(parameter.Module, parameter.Name)
        : Job.Slots[node] as torch.Tensor;

    /// <summary>The pass has come to a value. Called out of libtorch: nothing may be thrown.</summary>
    private torch.Tensor? OnGradient(HookedTensor hooked, torch.Tensor gradient)
    {
        if (_failure is not null) return null;
        try
        {
            if (Job.CheckCancelled()) throw new OperationCanceledException();
            using var scope = torch.NewDisposeScope();
            _current = hooked;
            bool accessed = interpreter.WaitReason is WaitReason.Gradient && hooked.Nodes.Contains(interpreter.AwaitedNode);
            if (accessed)
            {
                hooked.Gradient = gradient.clone().DetachFromDisposeScope();
                interpreter.RunBlock(this);
            }
            foreach (uint node in hooked.Nodes.Where(Plan.Autograd.RetainsGrad.Contains)) Job.Slots.AddGradient(node, hooked.Gradient ?? gradient);
            (_current, hooked.HasPassed) = (null, true);
            return hooked.Gradient;
        }
        catch (Exception e)
        {
            _failure = e;
            return null;
        }
    }

    /// <summary>A tensor of the graph, and the values of the program that are it.</summary>
    private sealed class HookedTensor(torch.Tensor tensor)
    {
        public torch.Tensor Tensor { get; } = tensor;

        public List<uint> Nodes { get; } = [];

        public bool HasPassed { get; set; }

        /// <summary>What flows on, if the block accessed it; owned.</summary>
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
