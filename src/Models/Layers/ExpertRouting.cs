using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>How the logits of a router become the experts of each token and the weights of their outputs.</summary>
/// <remarks>
/// DeepseekV3MoE.route_tokens_to_experts in transformers/models/deepseek_v3/modeling_deepseek_v3.py and its relatives; DeepSeek-AI,
/// DeepSeek-V2 and DeepSeek-V3, 2024
/// </remarks>
/// <param name="TopK">The number of experts for each token.</param>
public sealed partial record ExpertRouting(int TopK)
{
    /// <summary>Whether scores are sigmoids of the logits; otherwise softmax over all experts.</summary>
    public bool IsSigmoid { get; init; }

    /// <summary>Whether the weights of the chosen experts are divided by their sum.</summary>
    public bool NormTopKProb { get; init; }

    /// <summary>Added to the sum that weights are divided by.</summary>
    public double NormEpsilon { get; init; } = 1e-20;

    /// <summary>The factor of the weights.</summary>
    public double ScalingFactor { get; init; } = 1;

    /// <summary>The groups of experts, of which only the best <see cref="TopKGroups"/> are open to a token.</summary>
    public int NumGroups { get; init; } = 1;

    public int TopKGroups { get; init; } = 1;

    /// <summary>Whether the score of a group is the sum of its two best experts; otherwise that of its best expert.</summary>
    public bool GroupsByTwoBest { get; init; } = true;

    /// <summary>The score of an expert in a group that is not chosen.</summary>
    public double MaskedScore { get; init; } = double.NegativeInfinity;

    /// <param name="logits">[batch · seq, experts]</param>
    /// <param name="correctionBias">Added to the scores for the choice only: [experts]; null for none.</param>
    /// <returns>The chosen experts and the weights of their outputs, both [batch · seq, chosen].</returns>
    [Operation("route_tokens_to_experts")]
    public (Tensor Indices, Tensor Weights) Route(Tensor logits, Tensor? correctionBias)
    {
        Tensor scores = IsSigmoid ? logits.sigmoid() : nn.functional.softmax(logits, -1);               // [batch · seq, experts]
        Tensor forChoice = correctionBias is null ? scores : scores + correctionBias;                   // [batch · seq, experts]
        if (NumGroups > 1) forChoice = MaskGroups(forChoice);                                           // [batch · seq, experts]
        (_, Tensor indices) = forChoice.topk(TopK, -1, sorted: false);                                  // [batch · seq, chosen]
        Tensor weights = scores.gather(1, indices);                                                     // [batch · seq, chosen]
        if (NormTopKProb) weights = weights / (weights.sum([-1], keepdim: true) + NormEpsilon);         // [batch · seq, chosen]
        return (indices, weights * ScalingFactor);
    }

    /// <summary>Replaces the scores of the experts in other than the best groups.</summary>
    /// <param name="scores">[batch · seq, experts]</param>
    /// <returns>[batch · seq, experts]</returns>
    private Tensor MaskGroups(Tensor scores)
    {
        Tensor grouped = scores.view(scores.size(0), NumGroups, -1);                                    // [batch · seq, groups, experts]
        (Tensor best, _) = grouped.topk(GroupsByTwoBest ? 2 : 1, -1);                                   // [batch · seq, groups, 1 or 2]
        (_, Tensor chosen) = best.sum(-1).topk(TopKGroups, -1, sorted: false);                          // [batch · seq, chosen groups]
        Tensor isOpen = zeros_like(best.sum(-1)).scatter(1, chosen, ones_like(chosen).to(scores.dtype)); // [batch · seq, groups]
        Tensor masked = grouped.masked_fill(isOpen.unsqueeze(-1) == 0, MaskedScore);                    // [batch · seq, groups, experts]
        return masked.view(scores.size(0), scores.size(1));
    }
}
