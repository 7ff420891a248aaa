using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The experts of a layer, gated mlps in two fused weights; each token goes through the few that its router chose.</summary>
/// <remarks>MixtralExperts in transformers/models/mixtral/modeling_mixtral.py; each model has its own copy with its own name.</remarks>
public sealed partial class Experts : SiteModule
{
    private readonly Parameter _gateUpProj; // [experts, 2 inner, width]
    private readonly Parameter _downProj;   // [experts, width, inner]
    private readonly Activation _actFn;

    /// <param name="className">As Hugging Face's model calls its copy: "MixtralExperts".</param>
    /// <param name="names">What checkpoints, which have each expert by itself, call gate, up and down.</param>
    public Experts(string className, int experts, int width, int inner, Activation activation, (string Gate, string Up, string Down) names)
    {
        ClassName = className;
        _gateUpProj = Weight("gate_up_proj", [experts, 2 * inner, width], [.. Enumerable.Range(0, experts).SelectMany(e =>
            new (string, long[])[] { ($"{e}.{names.Gate}.weight", [inner, width]), ($"{e}.{names.Up}.weight", [inner, width]) })], inputs: 2);
        _downProj = Weight("down_proj", [experts, width, inner], [.. Enumerable.Range(0, experts).Select(e =>
            ($"{e}.{names.Down}.weight", (long[])[width, inner]))], inputs: 2);
        _actFn = Child("act_fn", activation);
        _actFn.Take(Axes.Unknown); // pairs of tokens and experts, in the order of the experts
    }

    public override string ClassName { get; }

    public override bool GivesTensor => true;

    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => Axes.Flat;

    /// <param name="hidden">[rows · tokens, width]</param>
    /// <param name="chosen">[rows · tokens, chosen] int64: experts</param>
    /// <param name="weights">[rows · tokens, chosen]</param>
    /// <returns>[rows · tokens, width]</returns>
    public Tensor Call(Tensor hidden, Tensor chosen, Tensor weights) => Observer is { } observer
        ? Observed<Tensor>(observer, new Arguments(hidden, chosen, weights))
        : Forward(hidden, chosen, weights);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "top_k_index"), arguments.Tensor(2, "top_k_weights"));

    /// <summary>
    /// The pairs of token and expert are sorted by expert, so that each expert is one product for all its tokens and the activation
    /// one call for all pairs.
    /// </summary>
    private Tensor Forward(Tensor hidden, Tensor chosen, Tensor weights)
    {
        using var scope = NewDisposeScope();
        long experts = _gateUpProj.Shape[0], each = chosen.size(1), pairs = chosen.numel();
        Tensor flat = chosen.reshape(-1);                                               // [pairs]
        Tensor order = flat.argsort();                                                  // [pairs]
        long[] counts = hidden.device_type == TorchSharp.DeviceType.META
            ? [pairs, .. new long[experts - 1]] // shapes alone do not depend on who goes where
            : flat.bincount(null, experts).cpu().data<long>().ToArray();
        Tensor sorted = Rows(hidden, order.div(each, RoundingMode.floor));              // [pairs, width]
        Tensor[] gateAndUp = Each(sorted, counts, _gateUpProj.Value).chunk(2, -1);      // 2 x [pairs, inner]
        Tensor inner = _actFn.Call(gateAndUp[0]) * gateAndUp[1];                        // [pairs, inner]
        Tensor outputs = Each(inner, counts, _downProj.Value);                          // [pairs, width]
        Tensor back = Rows(outputs, order.argsort());                                   // [pairs, width]
        Tensor weighted = back.view(-1, each, hidden.size(1)) * weights.unsqueeze(-1);  // [rows · tokens, chosen, width]
        return weighted.sum(1).to(hidden.dtype).MoveToOuterDisposeScope();              // [rows · tokens, width]
    }

    /// <summary>index_select, which libtorch cannot do for shapes alone.</summary>
    private static Tensor Rows(Tensor table, Tensor rows) => table.index(TensorIndex.Tensor(rows));

    /// <summary>Each expert's product with its own consecutive pairs.</summary>
    /// <param name="input">[pairs, inputs]</param>
    /// <param name="weights">[experts, outputs, inputs]</param>
    /// <returns>[pairs, outputs]</returns>
    private static Tensor Each(Tensor input, long[] counts, Tensor weights)
    {
        List<Tensor> outputs = [];
        long at = 0;
        for (int expert = 0; expert < counts.Length; expert++)
        {
            if (counts[expert] == 0) continue;
            Tensor own = input.narrow(0, at, counts[expert]);                           // [own pairs, inputs]
            outputs.Add(Products.linear(own, weights[expert], null));                   // [own pairs, outputs]
            at += counts[expert];
        }
        return cat(outputs, 0);
    }
}
