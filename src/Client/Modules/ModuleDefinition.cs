using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A module of the user's own, for a place in a model's tree (<see cref="Envoy.Attach"/>): a sparse autoencoder, an adapter, a probe.
/// It is data as everything in a program: its forward is recorded, its weights travel once, and its layers have sites of their own.
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
    /// <summary>What the module does with its input: operations, and calls of its layers.</summary>
    protected abstract Value Forward(Value input);

    /// <summary>The name of the class in the printed tree.</summary>
    protected virtual string ClassName => GetType().Name;

    /// <summary><c>x @ weight + bias</c></summary>
    /// <param name="weight">[in, out]; PyTorch's <c>nn.Linear</c> holds it transposed: pass <c>weight.T</c>.</param>
    /// <param name="bias">[out]</param>
    protected static Layer Linear(string name, Value weight, Value? bias = null) =>
        new(name, "Linear", TryGetShape(weight) is [var from, var to] ? $"in_features={from}, out_features={to}, bias={(bias is null ? "False" : "True")}" : "",
            x => bias is null ? x.MatMul(weight) : x.MatMul(weight) + bias);

    /// <summary>Layer normalization over the last dimension (Ba et al., 2016).</summary>
    /// <param name="weight">[hidden]</param>
    /// <param name="bias">[hidden]</param>
    protected static Layer LayerNorm(string name, Value weight, Value? bias = null, double eps = 1e-5) =>
        new(name, "LayerNorm", TryGetShape(weight) is [var width] ? $"({width},)" : "", x =>
        {
            Value centred = x - x.Mean(-1, keepdim: true);
            Value normal = centred * ((centred * centred).Mean(-1, keepdim: true) + eps).Rsqrt() * weight;
            return bias is null ? normal : normal + bias;
        });

    /// <summary>Root mean square normalization over the last dimension (Zhang and Sennrich, 2019).</summary>
    /// <param name="weight">[hidden]</param>
    protected static Layer RMSNorm(string name, Value weight, double eps = 1e-6) =>
        new(name, "RMSNorm", TryGetShape(weight) is [var width] ? $"({width},)" : "", x => x * ((x * x).Mean(-1, keepdim: true) + eps).Rsqrt() * weight);

    /// <summary>A row of the table for each id.</summary>
    /// <param name="table">[entries, hidden]</param>
    protected static Layer Embedding(string name, Value table) =>
        new(name, "Embedding", TryGetShape(table) is [var entries, var width] ? $"{entries}, {width}" : "", ids => Op.Embedding(ids, table));

    /// <summary>A step with a name, so that its input and output are sites: <c>Step("features", x => x.Relu())</c>.</summary>
    protected static Layer Step(string name, Func<Value, Value> forward) => new(name, "Step", "", forward);

    /// <summary>Another definition as a part of this one.</summary>
    protected static Layer Part(string name, ModuleDefinition definition) => new(name, definition.ClassName, "", definition.Forward);

    internal Layer AsLayer(string name) => Part(name, this);

    private static long[]? TryGetShape(Value weight) => weight.AsArgument() is TensorData tensor ? tensor.Shape.ToArray() : null;
}

/// <summary>A part of a <see cref="ModuleDefinition"/> with a name, a site of its own, and what it computes.</summary>
public sealed class Layer
{
    private readonly Func<Value, Value> _forward;

    internal Layer(string name, string className, string repr, Func<Value, Value> forward)
    {
        if (!ModulePaths.IsValidName(name))
            throw new ArgumentException($"`{name}` is no name of a module: letters, digits and _ make one.", nameof(name));
        (Name, ClassName, Repr, _forward) = (name, className, repr, forward);
    }

    internal string Name { get; }

    internal string ClassName { get; }

    internal string Repr { get; }

    /// <summary>Runs it; only inside of its module's <see cref="ModuleDefinition.Forward"/>. Elsewhere: <c>attached["name"].Call(x)</c>.</summary>
    public Value Call(Value input)
    {
        Recorder recorder = Recorder.Current(input, $"The layer `{Name}`");
        if (!recorder.LayersBeingDefined.TryPeek(out string? within))
            throw new InvalidOperationException($"The layer `{Name}` is called in its module's Forward; reach it as attached[\"{Name}\"].Call(x) elsewhere.");
        Define(recorder, $"{within}.{Name}");
        return recorder.Value(new Node { CallModule = new CallModule { Module = $"{within}.{Name}", Arguments = { recorder.Argument(input) }, Sites = true } });
    }

    /// <summary>Makes the module known to the program, once.</summary>
    internal void Define(Recorder recorder, string path)
    {
        if (!recorder.DefinedLayers.TryAdd(path, this))
        {
            if (recorder.DefinedLayers[path] != this) throw new InvalidOperationException($"`{path}` stands for two layers: give each a name of its own.");
            return;
        }
        var definition = new DefineModule { Path = path, ClassName = ClassName };
        recorder.LayersBeingDefined.Push(path);
        definition.Forward = recorder.OpenRegion();
        try
        {
            definition.Result = recorder.Argument(_forward(recorder.RegionParameter("input")));
        }
        finally
        {
            recorder.CloseRegion();
            recorder.LayersBeingDefined.Pop();
        }
        recorder.AddToRoot(new Node { DefineModule = definition });
    }
}
