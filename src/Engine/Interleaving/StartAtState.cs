using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// An invoke whose pass starts in the middle of the model: the modules before the start are skipped for its rows, and the start module
/// receives the given value as its input. The invoke can access no hook point before the start.
/// </summary>
/// <param name="hidden">[batch, seq, hidden]. Belongs to the dispose scope of the pass.</param>
/// <param name="replacesEmbedding">Whether the value can replace the output of the embedding too.</param>
internal sealed class StartAtState(Interpreter invoke, StartAtStatement statement, torch.Tensor hidden, bool replacesEmbedding)
{
    public Interpreter Invoke => invoke;

    public int Module => statement.Module;

    /// <summary>Whether the pass has reached the start module.</summary>
    public bool IsReached { get; private set; }

    /// <summary>Called at each hook point: skips the module or sets its input for the rows of the invoke.</summary>
    public void OnHookPoint(HookPoint point, HookPointState state, Interleaver interleaver)
    {
        if (IsReached || point.IsAfter || point.IsOperation || invoke.Job.HasFailed || invoke.HasEnded) return;
        try
        {
            if (point.Module == statement.Module)
            {
                IsReached = true;
                interleaver.Write(invoke, state, SiteKind.Input, point, hidden);
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
