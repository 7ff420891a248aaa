using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// An invoke whose pass begins in the middle of the model: the modules before that are given its value instead of being run for
/// its rows, and the module itself gets the value as its input. Until the pass is there, the invoke sees none of it.
/// </summary>
/// <param name="hidden">Belongs to the dispose scope of the pass.</param>
/// <param name="replacesEmbedding">Whether it can stand for the embedding's output too.</param>
internal sealed class StartAtState(Interpreter invoke, StartAtStatement statement, torch.Tensor hidden, bool replacesEmbedding)
{
    public Interpreter Invoke => invoke;

    public int Module => statement.Module;

    /// <summary>True once the pass has come to the module.</summary>
    public bool IsReached { get; private set; }

    /// <summary>The pass stands at a point: what has to be done there for this invoke's rows.</summary>
    public void OnHookPoint(HookPoint point, HookPointState state, Interleaver interleaver)
    {
        if (IsReached || point.IsAfter || point.IsOperation || invoke.Job.HasFailed || invoke.EnclosingTrace!.HasEnded) return;
        try
        {
            if (point.Module == statement.Module)
            {
                IsReached = true;
                state.Replace(interleaver.Sites.WriteInput(invoke.Slice!, point, state.Value, hidden));
            }
            else if (statement.SkippedModules.Contains(point.Module) || replacesEmbedding && point.Module == statement.EmbeddingModule)
            {
                interleaver.Skip(invoke, point, hidden);
            }
        }
        catch (Exception e)
        {
            invoke.Job.Fail(ForwardErrorTranslator.Translate(e, "StartAt"), statement.Id);
        }
    }
}
