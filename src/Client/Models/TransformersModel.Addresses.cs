using System.Globalization;
using Ndif.Protocol;

namespace Ndif;

// The addresses by which interp-engine and the tools around it name activations: "resid_post.10". docs/reference/addresses.md lists them.
public abstract partial class TransformersModel
{
    private static readonly Dictionary<string, Func<TransformersModel, View>> _ofModel = new(StringComparer.Ordinal)
    {
        ["embeddings"] = model => OutputOf(model.Embed),
        ["final_norm"] = model => OutputOf(model.FindStandardModule(model.Description.Names.FinalNorm, "final norm")),
        ["lm_head"] = model => OutputOf(model.FindStandardModule(model.Description.Names.LmHead, "output projection")),
    };

    private static readonly Dictionary<string, Func<Envoy, View>> _ofLayer = new(StringComparer.Ordinal)
    {
        ["resid_pre"] = layer => new(() => layer.ResidPre, value => layer.ResidPre = value),
        ["resid_mid"] = layer => new(() => layer.ResidMid, value => layer.ResidMid = value),
        ["resid_post"] = layer => new(() => layer.ResidPost, value => layer.ResidPost = value),
        ["attn_in"] = layer => InputOf(layer.Attn),
        ["q_norm_in"] = layer => InputOf(layer.Attn.QueryNorm),
        ["q_norm_out"] = layer => OutputOf(layer.Attn.QueryNorm),
        ["k_norm_in"] = layer => InputOf(layer.Attn.KeyNorm),
        ["k_norm_out"] = layer => OutputOf(layer.Attn.KeyNorm),
        ["value"] = layer => new(() => layer.V.Value, value => layer.V.Value = value),
        ["attn_scores"] = layer => new(() => layer.Scores, value => layer.Scores = value),
        ["attn_probs"] = layer => new(() => layer.Pattern, value => layer.Pattern = value),
        ["attn_gate"] = layer => OutputOf(layer.Attn.AttentionGate),
        ["z"] = layer => InputOf(layer.Attn.Get(layer.Attn.Attention.Output)),
        ["attn_out"] = layer => HiddenOf(layer.AttentionOutput),
        ["attn_out_post"] = layer => HiddenOf(layer.AttentionContribution),
        ["mlp_in"] = layer => InputOf(layer.FeedforwardInput),
        ["mlp_pre"] = layer => PartOf(layer.Mlp, mlp => mlp.Gate ?? mlp.Up),
        ["mlp_pre_linear"] = layer => PartOf(layer.Mlp, mlp => mlp.Gate is null ? null : mlp.Up),
        ["mlp_act"] = layer => InputOf(layer.Mlp.Feedforward.Owner.Get(layer.Mlp.Feedforward.Layout.Down)),
        ["mlp_out"] = layer => HiddenOf(layer.FeedforwardOutput),
        ["mlp_out_post"] = layer => HiddenOf(layer.FeedforwardContribution),
    };

    private static readonly string[] _routing = ["router_logits", "expert_weights", "expert_indices"];

    private static readonly string[] _streams =
    [
        "resid_streams", "attn_stream_collapse", "mlp_stream_collapse", "attn_stream_write", "attn_stream_mix", "mlp_stream_write",
        "mlp_stream_mix",
    ];

    /// <summary>The addresses that <see cref="Envoy.GetValue"/> of a model knows; those of a layer are followed by its number.</summary>
    public static IReadOnlyList<string> Addresses { get; } = [.. _ofModel.Keys.Concat(_ofLayer.Keys).Order(StringComparer.Ordinal)];

    private protected override View SiteAt(string path)
    {
        if (_ofModel.TryGetValue(path, out Func<TransformersModel, View>? ofModel)) return ofModel(this);
        (string point, string number) = ModulePaths.Split(path);
        if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int layer)) return base.SiteAt(path);
        if (_ofLayer.TryGetValue(point, out Func<Envoy, View>? ofLayer)) return ofLayer(Layers[layer]);
        if (_routing.Contains(point))
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"`{path}` is not an address here: routers return logits, weights and choice in an order of their own.",
                "t.Cache(output: false, routing: true) has the choice and the weights of every architecture; a router's own values are "
                    + "llm.Layers[i].Mlp[\"gate\"].Output, or [\"router\"].");
        if (_streams.Contains(point))
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"`{path}` exists in a model with several residual streams only, and a {Description.Architecture} has one.",
                "Use resid_pre, resid_mid or resid_post.");
        if (point.Contains('.')) return base.SiteAt(path);
        throw Errors.CreateException(ErrorCode.UnknownModule, $"`{path}` is not an address of an activation.",
            $"{Errors.DidYouMean(point, _ofLayer.Keys)} Those of layer {layer} are {string.Join(", ", _ofLayer.Keys)}.".TrimStart());
    }

    private static View InputOf(Envoy module) => new(() => module.Input, value => module.Input = value);

    private static View OutputOf(Envoy module) => new(() => module.Output, value => module.Output = value);

    private static View HiddenOf(Envoy module) => new(() => module.Hidden, value => module.Hidden = value);

    /// <summary>What a linear layer of an mlp gives, or one part of it. [batch, seq, intermediate]</summary>
    private static View PartOf(Envoy mlp, Func<MlpLayout, LinearPart?> select)
    {
        (Envoy owner, MlpLayout layout) = mlp.Feedforward;
        LinearPart part = select(layout) ?? throw Errors.CreateException(ErrorCode.Unsupported,
            $"`{mlp.Path}` has no gate, so there is no value that a gate multiplies.", "Use mlp_pre: the value before the activation.",
            mlp.Path);
        Envoy linear = owner.Get(part.Module);
        if (part.Parts == 1) return OutputOf(linear);
        return new(() => PartIn(linear.Output), value =>
        {
            Value changed = linear.Output.Clone();
            PartIn(changed)[..] = value;
            linear.Output = changed;
        });

        Value PartIn(Value all) => all.Unflatten(-1, [(int)part.Parts, -1])[Idx.Ellipsis, (int)part.Part, ..];
    }
}
