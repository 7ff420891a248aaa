using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A decoder's self-attention as its layer calls it; a derived class has the forward.</summary>
[SharedLayer]
public abstract class DecoderAttention : SiteModule
{
    private readonly DecoderDescription _description;
    private readonly bool _passesPositionIds;

    private protected DecoderAttention(DecoderDescription description, int layer)
    {
        _description = description;
        ClassName = $"{description.Family}Attention";
        (Layer, Scale, SoftCap) = (layer, description.Scale, description.AttentionSoftCap);
        (NumHeads, NumKvHeads, HeadDim) = (description.Config.NumHeads, description.Config.NumKvHeads, description.Config.HeadDim);
        (PositionEmbeddingsAt, HasRotaryEmbedding) = (description.AttentionPositionEmbeddingsAt, description.HasRotaryEmbedding);
        _passesPositionIds = description.PassesPositionIdsToAttention ?? description.PassesPositionIds;
    }

    public override string ClassName { get; }

    protected int Layer { get; }

    protected int NumHeads { get; }

    protected int NumKvHeads { get; }

    protected int HeadDim { get; }

    protected double Scale { get; }

    protected double? SoftCap { get; }

    protected int PositionEmbeddingsAt { get; }

    /// <summary>Whether the attention receives position embeddings.</summary>
    protected bool HasRotaryEmbedding { get; }

    /// <summary>Whether the forward has the position of each token.</summary>
    protected virtual bool PassesPositionIds => _passesPositionIds;

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <summary>
    /// The heads. Projections are found by their names: a class with others, or with a part of its own in them, overrides this. The rows of
    /// a query projection that is twice as large are for each head those of the query and of a gate, as in Qwen3-Next.
    /// </summary>
    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        Protocol.AttentionLayout layout = Has("qkv_proj")
            ? Layouts.Joint(NumHeads, NumKvHeads, HeadDim, "qkv_proj", "o_proj")
            : Layouts.Separate(NumHeads, NumKvHeads, HeadDim, "q_proj", "k_proj", "v_proj",
                Has("o_proj") ? "o_proj" : _description.OutputProjectionName);
        layout.Query.Blocks = Has("qkv_proj") ? 1 : (uint)NumHeads;
        layout.Window = (uint)((_description.Windows is { } windows ? windows[Layer] : _description.Window) ?? 0);
        (layout.QueryNorm, layout.KeyNorm) = (NameOf(_description.QkNormNames.Query), NameOf(_description.QkNormNames.Key));
        info.Attention = layout;

        bool Has(string name) => Children.Any(child => child.Name == name);
        string NameOf(string name) => Has(name) ? name : "";
    }

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([],
                [.. _description.CreateAttentionArguments(hidden, mask, positionIds, cache, positionEmbeddings)]))
            : Forward(hidden, mask, positionIds, cache, positionEmbeddings);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        PassesPositionIds ? PositionIds(arguments) : null!, // an attention that receives none reads none
        arguments.Get(3, "past_key_values") as KeyValueCache,
        HasRotaryEmbedding ? arguments.Tuple(PositionEmbeddingsAt, "position_embeddings") : []);

    /// <summary>The position of each token, [batch, seq], in a call with arguments that are known only at run time.</summary>
    protected virtual Tensor PositionIds(Arguments arguments) => arguments.Tensor(2, "position_ids");

    protected abstract object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings);

    /// <summary>The fused form; null if it does not know the norms.</summary>
    private protected FusedAttention? CreateFused(
        IReadOnlyList<ILinearLayer> projections, ILinearLayer output, TensorModule? queryNorm = null, TensorModule? keyNorm = null) =>
        queryNorm is not (null or INormLayer) || keyNorm is not (null or INormLayer) ? null
            : new FusedAttention(this, Layer, NumHeads, NumKvHeads, HeadDim, Scale)
            {
                Projections = projections, OutputProjection = output, SoftCap = SoftCap, QueryNorm = (INormLayer?)queryNorm,
                KeyNorm = (INormLayer?)keyNorm, NormalizesAllHeads = _description.QkNorms is QkNorms.AllHeads,
                RotatesInFloat32 = _description.RotatesInFloat32, RotaryPairs = _description.RotaryPairs,
            };
}
