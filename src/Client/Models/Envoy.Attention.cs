using Ndif.Protocol;

namespace Ndif;

// What the attention of a layer computes, by head, under the same names on every architecture; on the attention itself they are the same. A
// pass in which a program uses one of these runs that attention operation by operation instead of fused.
public partial class Envoy
{
    /// <summary>
    /// What each head of a layer has mixed from the values, before the output projection ("z"). [batch, seq, heads, headDim]; one index
    /// selects a head: <c>llm.Layers[5].Heads[3] = 0</c>.
    /// </summary>
    public HeadView Heads => AttentionValue("z");

    /// <summary>
    /// The queries of a layer as they are multiplied with the keys: with biases and norms, rotated. [batch, seq, heads, headDim]
    /// </summary>
    public HeadView Q => AttentionValue("q");

    /// <summary>
    /// The keys of a layer as they are multiplied with the queries. [batch, kvSeq, kvHeads, headDim]; in a generation also those of earlier
    /// tokens.
    /// </summary>
    public HeadView K => AttentionValue("k");

    /// <summary>The values of a layer that the attention pattern mixes. [batch, kvSeq, kvHeads, headDim]</summary>
    public HeadView V => AttentionValue("v");

    /// <summary>The attention scores of a layer, scaled and masked, before the softmax. [batch, heads, seq, kvSeq]</summary>
    public Value Scores
    {
        get => AttentionSource["scores"].Output;
        set => AttentionSource["scores"].Output = value;
    }

    /// <summary>
    /// The attention pattern of a layer, as TransformerLens calls <see cref="AttentionProbabilities"/>. [batch, heads, seq, kvSeq]
    /// </summary>
    public Value Pattern
    {
        get => AttentionProbabilities;
        set => AttentionProbabilities = value;
    }

    /// <summary>The norm of an attention's queries.</summary>
    internal Envoy QueryNorm => NormOf(Attention.QueryNorm, "queries");

    /// <summary>The norm of an attention's keys.</summary>
    internal Envoy KeyNorm => NormOf(Attention.KeyNorm, "keys");

    /// <summary>The projection of an attention with both queries and the gate of its output (Qwen3-Next).</summary>
    internal Envoy AttentionGate =>
        Attention.Query is { } query && WeightLayouts.OutFeatures(Info.Find(query.Module)!) == 2 * Attention.Heads * Attention.HeadDim
            && query.Module != Attention.Key?.Module
            ? Get(query.Module)
            : throw Errors.CreateException(ErrorCode.Unsupported, $"`{Display}` ({Info.ClassName}) has no gate.", module: Path);

    private Envoy NormOf(string name, string what) => name.Length > 0 ? Get(name) : throw Errors.CreateException(ErrorCode.Unsupported,
        $"`{Display}` ({Info.ClassName}) has no norm of its {what}.", "Use layer.Q and layer.K: what the scores are computed from.", Path);

    private HeadView AttentionValue(string label) => new(AttentionSource[label]);

    /// <summary>The forward that computes the heads of a layer or of its attention; in BERT it is that of a module inside.</summary>
    private Source AttentionSource
    {
        get
        {
            Envoy attention = Info.Attention is null ? Attn : this;
            string query = attention.Info.Attention?.Query?.Module ?? "";
            return attention.Get(ModulePaths.Split(query).Parent).Source;
        }
    }
}
