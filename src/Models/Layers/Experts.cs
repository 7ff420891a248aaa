using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The experts of a layer, gated mlps in two fused weights; the router chooses a few for each token.</summary>
/// <remarks>MixtralExperts in transformers/models/mixtral/modeling_mixtral.py; Hugging Face has one copy per model.</remarks>
public sealed partial class Experts : RoutedExperts
{
    private readonly Parameter _gateUpProj; // [experts, 2 intermediate, hidden]
    private readonly Parameter _downProj;   // [experts, hidden, intermediate]
    private readonly Activation _actFn;

    /// <param name="className">The class name in Hugging Face's code of the model: "MixtralExperts".</param>
    /// <param name="checkpointNames">The names of gate, up and down in checkpoints, which store each expert separately.</param>
    public Experts(string className, int numExperts, int hiddenSize, int intermediateSize, Activation activation,
        (string Gate, string Up, string Down) checkpointNames)
    {
        ClassName = className;
        (string Name, long[] Shape)[] gatesAndUps = [.. Enumerable.Range(0, numExperts).SelectMany(e => new (string, long[])[]
        {
            ($"{e}.{checkpointNames.Gate}.weight", [intermediateSize, hiddenSize]),
            ($"{e}.{checkpointNames.Up}.weight", [intermediateSize, hiddenSize]),
        })];
        _gateUpProj = Weight("gate_up_proj", [numExperts, 2 * intermediateSize, hiddenSize], gatesAndUps, inFeaturesDim: 2);
        _downProj = Weight("down_proj", [numExperts, hiddenSize, intermediateSize], [.. Enumerable.Range(0, numExperts).Select(e =>
            ($"{e}.{checkpointNames.Down}.weight", (long[])[hiddenSize, intermediateSize]))], inFeaturesDim: 2);
        _actFn = Child("act_fn", activation);
        _actFn.SetAxes(Axes.Unknown); // pairs of tokens and experts, in the order of the experts
        AddExperts(numExperts, i => new GatedExpert(ExpertClassOf(className), i, _gateUpProj, _downProj, activation));
    }

    public override string ClassName { get; }

    /// <summary>
    /// The pairs of token and expert are sorted by expert, so that each expert is one product for all its tokens and the activation
    /// one call for all pairs.
    /// </summary>
    protected override Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        using var scope = NewDisposeScope();
        long numExperts = _gateUpProj.Shape[0], topK = topKIndex.size(1), pairs = topKIndex.numel();
        Tensor flat = topKIndex.reshape(-1);                                               // [pairs]
        Tensor order = flat.argsort();                                                  // [pairs]
        long[] counts = hidden.device_type == TorchSharp.DeviceType.META
            ? [pairs, .. new long[numExperts - 1]] // shapes do not depend on the routing
            : flat.bincount(null, numExperts).cpu().data<long>().ToArray();
        Tensor sorted = Rows(hidden, order.div(topK, RoundingMode.floor));              // [pairs, hidden]
        Tensor[] gateAndUp = Each(sorted, counts, _gateUpProj.Value).chunk(2, -1);      // 2 x [pairs, intermediate]
        Tensor intermediate = _actFn.Call(gateAndUp[0]) * gateAndUp[1];                 // [pairs, intermediate]
        Tensor outputs = Each(intermediate, counts, _downProj.Value);                   // [pairs, hidden]
        Tensor back = Rows(outputs, order.argsort());                                   // [pairs, hidden]
        Tensor weighted = back.view(-1, topK, hidden.size(1)) * topKWeights.unsqueeze(-1);  // [batch · seq, chosen, hidden]
        return weighted.sum(1).to(hidden.dtype).MoveToOuterDisposeScope();              // [batch · seq, hidden]
    }

    /// <summary>index_select, which libtorch cannot do for shapes alone.</summary>
    private static Tensor Rows(Tensor table, Tensor rows) => table.index(TensorIndex.Tensor(rows));

    /// <summary>The product of each expert with its pairs, which are consecutive.</summary>
    /// <param name="input">[pairs, inFeatures]</param>
    /// <param name="weights">[experts, outFeatures, inFeatures]</param>
    /// <returns>[pairs, outFeatures]</returns>
    private static Tensor Each(Tensor input, long[] counts, Tensor weights)
    {
        List<Tensor> outputs = [];
        long at = 0;
        for (int expert = 0; expert < counts.Length; expert++)
        {
            if (counts[expert] == 0) continue;
            Tensor own = input.narrow(0, at, counts[expert]);                               // [own pairs, inFeatures]
            outputs.Add(LinearKernels.linear(own, weights[expert], null));                   // [own pairs, outFeatures]
            at += counts[expert];
        }
        return cat(outputs, 0);
    }
}
