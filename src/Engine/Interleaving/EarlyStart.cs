using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// An invoke whose pass begins in the middle of the model: the modules before that are given its value instead of being run for
/// its rows, and the module itself gets the value as its input. Until the pass is there, the invoke sees none of it.
/// </summary>
/// <param name="hidden">Belongs to the dispose scope of the pass.</param>
/// <param name="embeds">Whether it can stand for the embedding's output too.</param>
internal sealed class EarlyStart(Interpreter invoke, StartAtStatement statement, torch.Tensor hidden, bool embeds)
{
    public Interpreter Invoke => invoke;

    public int Module => statement.Module;

    /// <summary>True once the pass has come to the module.</summary>
    public bool IsReached { get; private set; }

    /// <summary>The pass stands at a point: what has to be done there for this invoke's rows.</summary>
    public void Come(Point point, PointState state, Interleaver interleaver)
    {
        if (IsReached || point.After || point.IsOperation || invoke.Job.HasFailed || invoke.Within!.HasEnded) return;
        try
        {
            if (point.Module == statement.Module)
            {
                IsReached = true;
                state.Replace(interleaver.Sites.PutInput(invoke.View!, point, state.Value, hidden));
            }
            else if (statement.Before.Contains(point.Module) || embeds && point.Module == statement.Embed)
            {
                interleaver.Skip(invoke, point, hidden);
            }
        }
        catch (Exception e)
        {
            invoke.Job.Fail(Faults.Of(e, "StartAt"), statement.Id);
        }
    }
}
