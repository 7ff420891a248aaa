using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// The pairs of token and expert of a layer, sorted by expert, so that each expert is one product for all its tokens and an activation one
/// call for all pairs.
/// </summary>
internal sealed class RoutedTokens
{
    private readonly long _topK;

    /// <param name="topKIndex">[batch · seq, chosen] int64: experts</param>
    /// <param name="isStable">Whether the tokens of each expert are in the order of their rows and positions.</param>
    public RoutedTokens(Tensor topKIndex, long numExperts, bool isStable = false)
    {
        _topK = topKIndex.size(1);
        Tensor flat = topKIndex.reshape(-1);                                            // [pairs]
        Order = isStable ? flat.sort(0, false, true).Indices : flat.argsort();          // [pairs]
        Tokens = Order.div(_topK, RoundingMode.floor);                                  // [pairs]
        Counts = topKIndex.device_type == TorchSharp.DeviceType.META
            ? [topKIndex.numel(), .. new long[numExperts - 1]] // shapes do not depend on the routing
            : flat.bincount(null, numExperts).cpu().data<long>().ToArray();
    }

    /// <summary>The positions of the sorted pairs among all: [pairs].</summary>
    public Tensor Order { get; }

    /// <summary>The tokens of the sorted pairs: [pairs].</summary>
    public Tensor Tokens { get; }

    /// <summary>The number of pairs of each expert.</summary>
    public long[] Counts { get; }

    /// <summary>The token of each pair.</summary>
    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <returns>[pairs, hidden]</returns>
    public Tensor Select(Tensor hidden) => Rows(hidden, Tokens);

    /// <summary>The sum of the outputs of each token's experts, multiplied by their weights.</summary>
    /// <param name="outputs">[pairs, hidden]</param>
    /// <param name="topKWeights">[batch · seq, chosen]</param>
    /// <returns>[batch · seq, hidden]</returns>
    public Tensor Combine(Tensor outputs, Tensor topKWeights)
    {
        Tensor back = Rows(outputs, Order.argsort());                                      // [pairs, hidden]
        Tensor weighted = back.view(-1, _topK, outputs.size(1)) * topKWeights.unsqueeze(-1); // [batch · seq, chosen, hidden]
        return weighted.sum(1).to(outputs.dtype);                                           // [batch · seq, hidden]
    }

    /// <summary>The product of each expert with its pairs, which are adjacent.</summary>
    /// <param name="input">[pairs, inFeatures]</param>
    /// <param name="product">From an expert and its pairs [own pairs, inFeatures] to [own pairs, outFeatures].</param>
    /// <returns>[pairs, outFeatures]</returns>
    public Tensor Multiply(Tensor input, Func<int, Tensor, Tensor> product)
    {
        List<Tensor> outputs = [];
        long at = 0;
        for (int expert = 0; expert < Counts.Length; expert++)
        {
            if (Counts[expert] == 0) continue;
            outputs.Add(product(expert, input.narrow(0, at, Counts[expert])));
            at += Counts[expert];
        }
        return cat(outputs, 0);
    }

    /// <summary>index_select, which libtorch cannot do for shapes alone.</summary>
    private static Tensor Rows(Tensor table, Tensor rows) => table.index(TensorIndex.Tensor(rows));
}
