using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The slices of the values of an expert, whose first dimension is the tokens that are routed to it.</summary>
internal sealed partial record BatchSlice
{
    private ExpertCall CurrentExpertCall => Batch.ExpertCall
        ?? throw Errors.CreateException(ErrorCode.Unsupported, "The tokens of an expert are known only while the expert runs.");

    /// <summary>
    /// Whether a read of a site returns a copy, whose edits have to be written back: the tokens of the slice are not adjacent, or the value
    /// says which tokens they are.
    /// </summary>
    public bool IsCopied(Axes axes) => axes.IsRouted
        ? Batch.BatchSize >= 0 && (axes.IsRoutedIndex || !AreAdjacent(CurrentExpertCall.PositionsOf(this)))
        : axes.IsFlat && HasInteriorPadding;

    /// <summary>Whether a value of the pass belongs to the slice whole.</summary>
    private bool Covers(Axes axes) => Batch.BatchSize < 0
        || (axes.IsRouted ? !axes.IsRoutedIndex && CurrentExpertCall.PositionsOf(this).Length == CurrentExpertCall.Count : CoversBatch);

    private torch.Tensor NarrowRouted(torch.Tensor tensor, Axes axes)
    {
        CheckRoutedShape(tensor);
        if (axes.IsRoutedIndex)
        {
            long[] tokens = CurrentExpertCall.TokensOf(this); // [routed]
            return tensor.device_type is DeviceType.META ? torch.empty([tokens.Length], torch.ScalarType.Int64, tensor.device)
                : torch.tensor(tokens, device: tensor.device);
        }
        long[] positions = CurrentExpertCall.PositionsOf(this);
        if (AreAdjacent(positions)) return tensor.narrow(0, positions.FirstOrDefault(), positions.Length);
        using torch.Tensor index = torch.tensor(positions, device: tensor.device); // [routed]
        return tensor.index_select(0, index);
    }

    private void CopyIntoRouted(torch.Tensor whole, torch.Tensor part)
    {
        CheckRoutedShape(whole);
        using torch.Tensor index = torch.tensor(CurrentExpertCall.PositionsOf(this), device: whole.device); // [routed]
        whole.index_copy_(0, index, part);
    }

    private void CheckRoutedShape(torch.Tensor tensor)
    {
        if (tensor.ndim == 0 || tensor.size(0) != CurrentExpertCall.Count)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the expert's {CurrentExpertCall.Count} tokens in its "
                + "first dimension, so its rows cannot be told apart.");
    }

    private static bool AreAdjacent(long[] positions) => positions.Length == 0 || positions[^1] - positions[0] == positions.Length - 1;

    private static Exception TokensAreReadOnly(string site) => Errors.CreateException(ErrorCode.BadArgument,
        $"The tokens of `{site}` follow from the routing; they can be read, not replaced.",
        "To route tokens to other experts, edit the router's output or the arguments of the experts.");
}
