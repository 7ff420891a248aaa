using Ndif.Engine.Kernels.Costs;
using Ndif.Models;
using Ndif.Models.Layers;
using TorchSharp;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.HookedModels;

/// <summary>
/// What a call of a module on values of a program takes at most. The values have as many rows as the program likes: an output projection
/// makes a row of the vocabulary's size of each, and an attention compares each with each.
/// </summary>
internal static class ModuleCallCost
{
    private const int TypicalHeadDim = 64, TypicalHeads = 8;

    /// <summary>How many additions an element of an intermediate value takes: norms, activations, sums.</summary>
    private const double WorkPerElement = 8;

    public static OpCost Of(SiteModule called, Arguments arguments)
    {
        if (arguments.Positional.Concat(arguments.Keywords.Select(keyword => keyword.Value)).OfType<Tensor>().FirstOrDefault()
            is not { ndim: > 0 } input) return default;
        bool areIds = called is Embedding;
        double tokens = areIds ? input.numel() : (double)input.numel() / Math.Max(1, input.size(-1)); // rows of the last dimension
        var layers = new Layers();
        layers.Add(called, isCounted: true);
        if (called is Expert expert) layers.AddExpert(expert);
        double elementBytes = Math.Max(areIds ? sizeof(float) : input.element_size(), sizeof(float));
        double bytes = tokens * layers.Width * elementBytes, flops = 2 * tokens * layers.Weights;
        if (layers.Attentions > 0 && input.ndim >= 2)
        {
            double kvSeq = input.size(-2), hidden = input.size(-1);
            bool hasScores = torch.is_grad_enabled() || input.device_type != DeviceType.CPU;
            double scores = 1 + (hasScores ? 2 * Math.Max(1, hidden / TypicalHeadDim) : 0); // the mask, and what is not fused
            bytes += tokens * kvSeq * sizeof(float) * scores;
            flops += 4 * tokens * kvSeq * hidden * layers.Attentions;
        }
        return new OpCost(0, bytes, WorkPerElement * tokens * layers.Width, flops);
    }

    /// <summary>The elements that a token of a pass of a whole model has in all values that live at a time.</summary>
    /// <param name="hasGraph">Whether the values of all layers are kept.</param>
    public static PassWidth OfPass(SiteModule root, bool hasGraph)
    {
        var layers = new Layers { CountsAllOfList = hasGraph };
        layers.Add(root, isCounted: true);
        // the mask, and with a graph the scores of each head, which are not fused
        return new PassWidth(layers.Width, hasGraph ? 2.0 * layers.Attentions * TypicalHeads : 1);
    }

    /// <summary>Sums over a module and those inside it.</summary>
    private struct Layers
    {
        /// <summary>Whether all layers of a list are counted, because their values are kept.</summary>
        public bool CountsAllOfList;

        /// <summary>The elements that a token has in all values together. Of the layers of a list one counts: they run in turn.</summary>
        public double Width;

        /// <summary>The elements of weights that a token is multiplied with.</summary>
        public double Weights;

        public int Attentions;

        /// <summary>One of the experts of a layer, whose weights are in one tensor with those of the others.</summary>
        public void AddExpert(Expert expert)
        {
            foreach (Parameter parameter in expert.StackedWeights)
                (Weights, Width) = (Weights + parameter.Shape[1] * parameter.Shape[2], Width + parameter.Shape.TakeLast(2).Max());
        }

        public void Add(SiteModule module, bool isCounted)
        {
            if (module.ClassName.EndsWith("Attention", StringComparison.Ordinal)) Attentions++;
            foreach (Parameter parameter in module.Parameters)
            {
                long[] shape = parameter.Value.shape;
                if (module is not Embedding && shape.Length >= 2) Weights += parameter.Value.numel();
                if (isCounted) Width += module is Embedding ? shape[^1] : shape.TakeLast(2).Max();
            }
            bool isFirst = true;
            foreach (SiteModule child in module.Children)
            {
                Add(child, isCounted && (isFirst || CountsAllOfList || !module.IsList));
                isFirst = false;
            }
        }
    }
}

/// <summary>What a pass takes for each token, in elements.</summary>
/// <param name="Values">The values of a layer, or of all, with the logits.</param>
/// <param name="Scores">For each token that it attends to.</param>
internal readonly record struct PassWidth(double Values, double Scores)
{
    /// <summary>The bytes of a pass over [rows, seq] tokens.</summary>
    /// <param name="vocabulary">The logits of a token; 0 if the model has none.</param>
    /// <param name="ofLastTokens">Whether only the last token of each row has logits.</param>
    public double BytesOf(double rows, double seq, double vocabulary, bool ofLastTokens)
    {
        double tokens = rows * seq;
        return sizeof(float) * (tokens * Math.Max(0, Values - vocabulary) + (ofLastTokens ? rows : tokens) * vocabulary
            + tokens * seq * Scores);
    }
}
