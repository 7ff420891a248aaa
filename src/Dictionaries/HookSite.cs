using System.Globalization;
using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>A site of a layer by the name that TransformerLens gives it, such as "hook_resid_post".</summary>
/// <remarks>transformer_lens/components/transformer_block.py</remarks>
internal sealed partial class HookSite
{
    /// <summary>Norms after a sublayer, whose output TransformerLens names as that of the sublayer (Gemma 2, OLMo 2, GLM 4).</summary>
    private static readonly string[] _normsAfterMlp = ["post_feedforward_layernorm", "post_mlp_layernorm"];

    /// <summary>The norm before the feed-forward module, whose input is the stream between the two sublayers.</summary>
    private static readonly string[] _normsBeforeMlp =
        ["pre_feedforward_layernorm", "ln_2", "post_attention_layernorm", "final_layer_norm"];

    private readonly Func<Value> _read;
    private readonly Action<Value>? _write;

    private HookSite(string name, Func<Value> read, Action<Value>? write) => (Name, _read, _write) = (name, read, write);

    /// <summary>The name without the layer.</summary>
    public string Name { get; }

    /// <summary>Whether the value is a state of the residual stream, or is added to it.</summary>
    public bool IsInResidualStream => Name is "hook_resid_pre" or "hook_resid_mid" or "hook_mlp_in" or "hook_resid_post" or "hook_attn_out"
        or "hook_mlp_out" or "mlp.hook_out";

    /// <summary>The value. [batch, seq, size]</summary>
    public Value Value
    {
        get => _read();
        set => (_write ?? throw Errors.CreateException(ErrorCode.Unsupported, $"`{Name}` is read, and cannot be replaced."))(value);
    }

    /// <summary>Splits "blocks.2.attn.hook_z" into its layer and "attn.hook_z"; the layer is null if the name has none.</summary>
    public static (int? Layer, string Name) Parse(string hook) => BlockName().Match(hook) is { Success: true } match
        ? (int.Parse(match.Groups["layer"].Value, CultureInfo.InvariantCulture), match.Groups["name"].Value) : (null, hook);

    /// <summary>Finds a site of a layer.</summary>
    /// <exception cref="NdifException">UNSUPPORTED: the layer has no such site, or it is not one of those that are supported.</exception>
    public static HookSite Find(Envoy layer, string hook)
    {
        string name = Parse(hook).Name;
        return name switch
        {
            "hook_resid_pre" => new(name, () => layer.Input, value => layer.Input = value),
            "hook_resid_mid" or "hook_mlp_in" => FindMiddle(layer, name),
            "hook_resid_post" => new(name, () => layer.Hidden, value => layer.Hidden = value),
            "hook_attn_out" => FindAttentionOutput(layer, name),
            "attn.hook_z" or "hook_z" => new(name, () => layer.Attn.Source["z"].Output.JoinHeads(), value =>
            {
                Value z = layer.Attn.Source["z"].Output; // [batch, heads, seq, headDim]
                layer.Attn.Source["z"].Output = value.Unflatten(-1, [z.Shape[1], -1]).Transpose(1, 2);
            }),
            "mlp.hook_in" => new(name, () => layer.Mlp.Input, value => layer.Mlp.Input = value),
            "ln2.hook_normalized" when HasLayerNorm(layer) => new(name, () => layer.Mlp.Input, value => layer.Mlp.Input = value),
            "hook_mlp_out" or "mlp.hook_out" => OutputOf(FindChild(layer, _normsAfterMlp) ?? layer.Mlp, name),
            _ => throw Errors.CreateException(ErrorCode.Unsupported, $"There is no site `{hook}` of the layer `{layer.Path}`.",
                "Supported are hook_resid_pre, hook_resid_mid, hook_resid_post, hook_attn_out, attn.hook_z, mlp.hook_in, hook_mlp_out, "
                + "and ln2.hook_normalized of a LayerNorm; or encode a value of your own: sae.Encode(value).", layer.Path),
        };
    }

    private static HookSite FindMiddle(Envoy layer, string name) => FindChild(layer, _normsBeforeMlp) is { } norm
        && (norm.Name != "post_attention_layernorm" || FindChild(layer, _normsAfterMlp) is null)
            ? new(name, () => norm.Input, null)
            : throw Errors.CreateException(ErrorCode.Unsupported,
                $"The layer `{layer.Path}` has no norm before its feed-forward module by which `{name}` is found.",
                "Encode a value of your own: sae.Encode(value).", layer.Path);

    private static HookSite FindAttentionOutput(Envoy layer, string name) => OutputOf(
        FindChild(layer, "post_self_attn_layernorm")
            ?? (FindChild(layer, _normsAfterMlp) is null ? null : FindChild(layer, "post_attention_layernorm")) ?? layer.Attn, name);

    private static HookSite OutputOf(Envoy module, string name) => new(name, () => module.Hidden, value => module.Hidden = value);

    /// <summary>In TransformerLens the value is after the weights of a LayerNorm, and before those of an RMSNorm.</summary>
    private static bool HasLayerNorm(Envoy layer) => FindChild(layer, _normsBeforeMlp) is { } norm
        && layer.Model.Description.Root.Find(norm.Path)!.ClassName == "LayerNorm";

    private static Envoy? FindChild(Envoy layer, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
            if (layer.Model.Description.Root.Find(layer.Path)!.Children.Any(child => child.Name == name)) return layer.Get(name);
        return null;
    }

    [GeneratedRegex(@"^blocks\.(?<layer>\d{1,6})\.(?<name>.+)\z")]
    private static partial Regex BlockName();
}
