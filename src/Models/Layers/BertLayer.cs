using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>The layers of an encoder.</summary>
[SharedLayer]
public sealed partial class BertEncoder : SiteModule
{
    private readonly ModuleList<BertLayer> _layer;

    internal BertEncoder(EncoderDescription description)
    {
        ClassName = $"{description.Family}Encoder";
        _layer = Child("layer", new ModuleList<BertLayer>(description.NumLayers, _ => new BertLayer(description)));
    }

    public override string ClassName { get; }

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden]</returns>
    public ModelOutput Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([hidden],
            [new("attention_mask", mask), new("use_cache", false)]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private ModelOutput Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        for (int layer = 0; layer < _layer.Count; layer++)
            hidden = (Tensor)_layer[layer].Call(hidden, mask)[0]!;                      // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }
}

/// <summary>Attention and mlp, each with its input added and a norm behind.</summary>
[SharedLayer]
public sealed partial class BertLayer : SiteModule
{
    private readonly BertAttention _attention;
    private readonly BertIntermediate _intermediate;
    private readonly BertOutput _output;
    private readonly FusedMlp _fusedMlp;

    internal BertLayer(EncoderDescription description)
    {
        ClassName = $"{description.Family}Layer";
        _attention = Child("attention", new BertAttention(description));
        _intermediate = Child("intermediate", new BertIntermediate(description));
        _output = Child("output", new BertOutput(description, "Output", description.IntermediateSize));
        _fusedMlp = new FusedMlp(this, null, _intermediate.Dense, _output.Dense, _intermediate.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Normalized("attention", "attention.output.dense", "output.dense");

    public override Axes InputAxes(string argument) => argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden, mask, null)) : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attention.Call(hidden, mask)[0]!;                                   // [batch, seq, hidden]
        if (_fusedMlp.TryForward(attended) is { } fused) return [_output.AddAndNormalize(fused, attended).MoveToOuterDisposeScope()];
        Tensor output = _output.Call(_intermediate.Call(attended), attended);                       // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>The first half of a mlp.</summary>
[SharedLayer]
public sealed partial class BertIntermediate : TensorModule
{
    private readonly Linear _dense;
    private readonly Activation _intermediateActFn;

    internal BertIntermediate(EncoderDescription description)
    {
        ClassName = $"{description.Family}Intermediate";
        _dense = Child("dense", new Linear(description.HiddenSize, description.IntermediateSize));
        _intermediateActFn = Child("intermediate_act_fn", Activation.Read(description.Json, "hidden_act", "gelu"));
    }

    public override string ClassName { get; }

    internal Linear Dense => _dense;

    internal ActivationKind? Kind => _intermediateActFn.Kind;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, intermediate]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _intermediateActFn.Call(_dense.Call(input)).MoveToOuterDisposeScope();   // [batch, seq, intermediate]
    }
}

/// <summary>The last projection of an attention or mlp; the input of the whole is added, and the sum normalized.</summary>
/// <remarks>BertSelfOutput and BertOutput in transformers/models/bert/modeling_bert.py</remarks>
[SharedLayer]
public sealed partial class BertOutput : SiteModule
{
    private readonly Linear _dense;
    private readonly LayerNorm _layerNorm;
    private readonly Dropout _dropout;

    /// <param name="name">The end of the class name: "SelfOutput".</param>
    internal BertOutput(EncoderDescription description, string name, int inFeatures)
    {
        ClassName = description.Family + name;
        _dense = Child("dense", new Linear(inFeatures, description.HiddenSize));
        _layerNorm = Child("LayerNorm", new LayerNorm(description.HiddenSize, description.NormEps));
        _dropout = Child("dropout", new Dropout(description.HiddenDropout));
    }

    public override string ClassName { get; }

    public override bool ReturnsTensor => true;

    internal Linear Dense => _dense;

    /// <param name="residual">[batch, seq, hidden]: what is added.</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor residual) =>
        Hook is { } observer ? CallHooked<Tensor>(observer, new Arguments(hidden, residual)) : Forward(hidden, residual);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "input_tensor"));

    private Tensor Forward(Tensor hidden, Tensor residual)
    {
        using var scope = NewDisposeScope();
        Tensor projected = _dropout.Call(_dense.Call(hidden));                          // [batch, seq, hidden]
        return _layerNorm.Call(projected + residual).MoveToOuterDisposeScope();         // [batch, seq, hidden]
    }

    /// <summary>What follows the projection, for a parent that has computed it with fused kernels.</summary>
    internal Tensor AddAndNormalize(Tensor projected, Tensor residual)
    {
        using var scope = NewDisposeScope();
        return _layerNorm.Call(projected + residual).MoveToOuterDisposeScope();
    }
}
