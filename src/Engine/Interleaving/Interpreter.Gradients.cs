using Ndif.Engine.Compiling;
using Ndif.Engine.Gradients;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>Backward passes and accesses to gradients.</summary>
internal sealed partial class Interpreter
{
    /// <summary>The backward pass whose block is running, or null.</summary>
    private BackwardPass? CurrentBackward => _frames.Select(f => f.Block).OfType<BackwardPass>().FirstOrDefault();

    private void Run(BackwardStatement backward)
    {
        var pass = new BackwardPass(backward, this);
        int depth = _frames.Count;
        _frames.Push(new Frame(_plan.Regions[backward.Region]) { Block = pass });
        pass.Run();
        while (_frames.Count > depth) _frames.Pop();
    }

    /// <summary>Whether the backward pass, if one is running, is at a value; if not, the invoke waits for it.</summary>
    private bool TryReach(uint value)
    {
        if (CurrentBackward is not { } pass || pass.IsAt(value)) return true;
        (WaitReason, AwaitedNode) = (WaitReason.Gradient, value);
        return false;
    }

    /// <summary>
    /// A gradient, as a new handle outside of any dispose scope: the one that the running backward pass has reached, or the retained
    /// one. A trained parameter has its own.
    /// </summary>
    private torch.Tensor GradientOf(uint value) => (CurrentBackward?.Gradient.alias()
        ?? (_plan.OriginOf(value) is NewParameterStatement ? ((torch.Tensor)_slots[value]!).grad : _slots.Gradient(value)?.alias())
        ?? throw Errors.CreateException(ErrorCode.NoGradient,
            $"There is no gradient of {_plan.DescribeValue(value)}: no backward pass has come to it.",
            EnclosingTrace?.Statement.Trace switch
            {
                { Mode: not Mode.Forward } => "Gradients need a trace of one forward pass: Trace(prompt, grad: true).",
                { Gradients: false } => "Open the trace with grad: true, and call Backward(loss) before, with a loss that depends on it.",
                _ => "Call Backward(loss) before, with a loss that depends on it.",
            })).DetachFromDisposeScope();

    private void SetGradient(uint value, object? gradient)
    {
        if (CurrentBackward is { } pass)
        {
            pass.ReplaceGradient(gradient);
            return;
        }
        if (_plan.OriginOf(value) is NewParameterStatement)
        {
            using var scope = torch.NewDisposeScope();
            var parameter = (torch.Tensor)_slots[value]!;
            parameter.grad = BackwardPass.CoerceGradient(gradient, parameter);
            return;
        }
        throw Errors.CreateException(ErrorCode.BadArgument,
            "The gradient of a value can be replaced only inside the block of Backward(loss, () => ...).");
    }
}
