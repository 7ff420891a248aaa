using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>
/// Attention of a layer that may have the keys and values of an earlier layer instead of its own; a derived class has the forward.
/// </summary>
/// <remarks>
/// Gemma3nTextAttention in transformers/models/gemma3n/modeling_gemma3n.py, Gemma4TextAttention in
/// transformers/models/gemma4/modeling_gemma4.py
/// </remarks>
public abstract class KeySharingAttention : SiteModule
{
    private readonly int _window;

    /// <param name="window">The window of layers that have one.</param>
    private protected KeySharingAttention(KeySharing sharing, int layer, int headDim, int window)
    {
        _window = window;
        (Layer, LayerType, HeadDim) = (layer, sharing.LayerTypes[layer], headDim);
        (HasOwnKeys, IsSource) = (!sharing.IsReader(layer), sharing.IsSource(layer));
    }

    protected int Layer { get; }

    /// <summary>"sliding_attention" or "full_attention"</summary>
    protected string LayerType { get; }

    protected int HeadDim { get; }

    protected bool HasOwnKeys { get; }

    /// <summary>Whether later layers have the keys of this one.</summary>
    protected bool IsSource { get; }

    /// <summary>The heads; keys and values of a layer that has those of an earlier one have no projection here.</summary>
    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        SiteModule? key = Children.FirstOrDefault(child => child.Name == "k_proj");
        info.Attention = new()
        {
            Heads = HeadsOf(Children.First(child => child.Name == "q_proj")), KvHeads = key is null ? 0 : HeadsOf(key),
            HeadDim = (uint)HeadDim, Window = LayerType == "sliding_attention" ? (uint)_window : 0, Output = "o_proj",
            Query = Layouts.Heads("q_proj"), Key = key is null ? null : Layouts.Heads("k_proj"), QueryNorm = "q_norm",
            Value = Children.Any(child => child.Name == "v_proj") ? Layouts.Heads("v_proj") : null,
            KeyNorm = key is null ? "" : "k_norm",
        };

        uint HeadsOf(SiteModule projection) => (uint)(projection.Parameters[0].Shape[0] / HeadDim);
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <param name="shared">The keys and values of earlier layers; null where no layer shares them.</param>
    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings,
        SharedKeyValues? shared) => Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([],
            [
                new("hidden_states", hidden), new("position_embeddings", positionEmbeddings), new("attention_mask", mask),
                new("shared_kv_states", shared), new("position_ids", positionIds), new("past_key_values", cache),
            ]))
            : Forward(hidden, positionEmbeddings, mask, shared, cache);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tuple(1, "position_embeddings"),
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(3, "shared_kv_states") as SharedKeyValues,
        arguments.Get(5, "past_key_values") as KeyValueCache);

    protected abstract object?[] Forward(
        Tensor hidden, object?[] positionEmbeddings, Tensor mask, SharedKeyValues? shared, KeyValueCache? cache);

    /// <summary>The keys and values of the earlier layer.</summary>
    /// <returns>Two tensors, [batch, kvHeads, kvSeq, headDim].</returns>
    private protected (Tensor Keys, Tensor Values) SharedKeysAndValues(SharedKeyValues? shared, Tensor query) =>
        (shared ?? new SharedKeyValues()).Get(LayerType, this, query.device);
}
