namespace Ndif;

/// <summary>
/// A module that the user defines and attaches to a model's tree (<see cref="Envoy.Attach"/>), such as a sparse autoencoder, an adapter or
/// a probe. Like everything in a program it is data: its forward is recorded, its weights are sent once, and its layers have sites.
/// </summary>
/// <example><code>
/// sealed class SparseAutoencoder(TensorData encoder, TensorData decoder) : ModuleDefinition
/// {
///     readonly Layer _encoder = Linear("encoder", encoder), _decoder = Linear("decoder", decoder);
///     protected override Value Forward(Value x) => _decoder.Call(_encoder.Call(x).Relu());
/// }
/// </code></example>
public abstract class ModuleDefinition
{
    /// <summary>Computes the output of the module from its input, by operations and calls of its layers.</summary>
    protected abstract Value Forward(Value input);

    /// <summary>The class name in the printed tree.</summary>
    protected virtual string ClassName => GetType().Name;

    /// <summary>A linear layer, <c>x @ weight + bias</c>. [..., inFeatures] to [..., outFeatures]</summary>
    /// <param name="name">The name of the layer in the tree.</param>
    /// <param name="weight">[inFeatures, outFeatures]. PyTorch's <c>nn.Linear</c> stores the transpose: pass <c>weight.T</c>.</param>
    /// <param name="bias">[outFeatures]</param>
    protected static Layer Linear(string name, Value weight, Value? bias = null) =>
        new(name, "Linear", TryGetShape(weight) is [var inFeatures, var outFeatures]
                ? $"in_features={inFeatures}, out_features={outFeatures}, bias={(bias is null ? "False" : "True")}" : "",
            x => bias is null ? x.MatMul(weight) : x.MatMul(weight) + bias);

    /// <summary>Layer normalization over the last dimension (Ba et al., 2016; arXiv 1607.06450). [..., hidden]</summary>
    /// <param name="name">The name of the layer in the tree.</param>
    /// <param name="weight">[hidden]</param>
    /// <param name="bias">[hidden]</param>
    protected static Layer LayerNorm(string name, Value weight, Value? bias = null, double eps = 1e-5) =>
        new(name, "LayerNorm", TryGetShape(weight) is [var hidden] ? $"({hidden},)" : "", x =>
        {
            Value centered = x - x.Mean(-1, keepdim: true);
            Value normalized = centered * ((centered * centered).Mean(-1, keepdim: true) + eps).Rsqrt() * weight;
            return bias is null ? normalized : normalized + bias;
        });

    /// <summary>
    /// Root mean square normalization over the last dimension (Zhang and Sennrich, 2019; arXiv 1910.07467). [..., hidden]
    /// </summary>
    /// <param name="name">The name of the layer in the tree.</param>
    /// <param name="weight">[hidden]</param>
    protected static Layer RMSNorm(string name, Value weight, double eps = 1e-6) =>
        new(name, "RMSNorm", TryGetShape(weight) is [var hidden] ? $"({hidden},)" : "",
            x => x * ((x * x).Mean(-1, keepdim: true) + eps).Rsqrt() * weight);

    /// <summary>The row of a table for each id. [...] to [..., hidden]</summary>
    /// <param name="name">The name of the layer in the tree.</param>
    /// <param name="table">[entries, hidden]</param>
    protected static Layer Embedding(string name, Value table) =>
        new(name, "Embedding", TryGetShape(table) is [var entries, var hidden] ? $"{entries}, {hidden}" : "",
            ids => Op.Embedding(ids, table));

    /// <summary>A step with a name, whose input and output are sites: <c>Step("features", x => x.Relu())</c>.</summary>
    protected static Layer Step(string name, Func<Value, Value> forward) => new(name, "Step", "", forward);

    /// <summary>Another definition as a layer of this one.</summary>
    protected static Layer Part(string name, ModuleDefinition definition) => new(name, definition.ClassName, "", definition.Forward);

    internal Layer AsLayer(string name) => Part(name, this);

    private static long[]? TryGetShape(Value weight) => weight.AsArgument() is TensorData tensor ? tensor.Shape.ToArray() : null;
}
