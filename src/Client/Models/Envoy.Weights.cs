using Ndif.Protocol;

namespace Ndif;

// Weights in the shapes in which papers multiply them from the right, x · W, whatever the architecture stores: one matrix for queries,
// keys and values, transposed matrices, fewer heads of keys and values. They are copies: to try other weights, change what the module
// returns.
public partial class Envoy
{
    /// <summary>
    /// Of an attention: from the residual stream to the queries of each head. [heads, hidden, headDim]; biases, norms and rotations follow.
    /// </summary>
    /// <exception cref="BadProgramException">UNSUPPORTED: this is no attention, or its queries are not linear in its input.</exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value WQ => ReadHeads("WQ", Attention.Query, Attention.Heads);

    /// <summary>Of an attention: from the residual stream to the keys of each head. [kvHeads, hidden, headDim]</summary>
    /// <inheritdoc cref="WQ"/>
    public Value WK => ReadHeads("WK", Attention.Key, Attention.KvHeads);

    /// <summary>Of an attention: from the residual stream to the values of each head. [kvHeads, hidden, headDim]</summary>
    /// <inheritdoc cref="WQ"/>
    public Value WV => ReadHeads("WV", Attention.Value, Attention.KvHeads);

    /// <summary>
    /// Of an attention: from the values of each head, mixed by the attention pattern, to what it writes. [heads, headDim, hidden]
    /// </summary>
    /// <exception cref="BadProgramException">UNSUPPORTED: this is no attention.</exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value WO => LinearWeight(this, Attention.Output).Transpose(0, 1).Unflatten(0, [(int)Attention.Heads, -1]);

    /// <summary>
    /// Of an mlp: from its input to the neurons, before the activation; in a gated mlp to what the gate multiplies. [hidden, intermediate]
    /// </summary>
    /// <exception cref="BadProgramException">UNSUPPORTED: this is no mlp with one up and one down projection.</exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value WIn => ReadPart("WIn", Feedforward.Layout.Up);

    /// <summary>Of a gated mlp: from its input to the gate of each neuron, before the activation. [hidden, intermediate]</summary>
    /// <inheritdoc cref="WIn"/>
    public Value WGate => ReadPart("WGate", Feedforward.Layout.Gate);

    /// <summary>Of an mlp: from the neurons to what it writes. [intermediate, hidden]</summary>
    /// <inheritdoc cref="WIn"/>
    public Value WOut => LinearWeight(Feedforward.Owner, Feedforward.Layout.Down).Transpose(0, 1);

    /// <summary>The heads of this attention.</summary>
    internal AttentionLayout Attention => Info.Attention ?? throw Errors.CreateException(ErrorCode.Unsupported,
        $"The heads of `{Display}` are not known: it is a {Info.ClassName}.",
        "Use the attention of a layer: llm.Layers[0].Attn.", Path);

    /// <summary>The linear layers of this mlp and the module to which their paths are relative: OPT's are in the layer itself.</summary>
    internal (Envoy Owner, MlpLayout Layout) Feedforward
    {
        get
        {
            if (Info.Mlp is { } own) return (this, own);
            string parent = ModulePaths.Split(Path).Parent;
            return Model.Description.Root.Find(parent) is { Mlp: { } above } ? (Model.Get(parent), above)
                : throw Errors.CreateException(ErrorCode.Unsupported,
                    $"`{Display}` is a {Info.ClassName}, which has no up and down projection of its own.",
                    "Use the mlp of a layer, llm.Layers[0].Mlp, or print the model and read a weight with Parameter(\"weight\").", Path);
        }
    }

    /// <summary>The kind of a norm; null for any other module.</summary>
    internal NormLayout? Norm => Info.Norm;

    internal bool IsNorm => Info.Norm is not null;

    internal bool HasParameter(string name) => Info.Parameters.Any(parameter => parameter.Name == name);

    /// <summary>The input features of a linear layer.</summary>
    internal int InFeatures => (int)Info.Parameters[0].Shape[WeightLayouts.IsTransposed(Info) ? 0 : 1];

    /// <summary>The weight of a linear layer below a module, [out, in].</summary>
    private static Value LinearWeight(Envoy owner, string path)
    {
        Envoy linear = owner.Get(path);
        return WeightLayouts.Weight(linear, linear.Info);
    }

    private Value ReadHeads(string name, HeadWeights? layout, uint heads) => layout is null ? throw NoWeight(name)
        : WeightLayouts.Heads(LinearWeight(this, layout.Module), (int)heads, (int)Attention.HeadDim, layout).Transpose(1, 2);

    private Value ReadPart(string name, LinearPart? part) => part is null ? throw NoWeight(name)
        : WeightLayouts.Part(LinearWeight(Feedforward.Owner, part.Module), part).Transpose(0, 1);

    private Exception NoWeight(string name) => Errors.CreateException(ErrorCode.Unsupported,
        $"`{Display}` ({Info.ClassName}) has no {name}: it does not compute this by one linear layer.",
        "Print the model, and read the weights that it has with Parameter(\"weight\").", Path);
}
