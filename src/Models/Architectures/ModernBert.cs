using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>
/// ModernBERT: rotary positions, norms before attention and mlp, and layers whose tokens see only those near them.
/// </summary>
/// <remarks>
/// transformers/models/modernbert/modeling_modernbert.py and configuration_modernbert.py; Warner et al., Smarter, Better, Faster, Longer,
/// 2024
/// </remarks>
[Architecture("ModernBertModel")]
[SharedLayer]
public sealed partial class ModernBertModel : EncoderModel
{
    private readonly bool[] _isLocal;
    private readonly int _distance;
    private readonly ModernBertEmbeddings _embeddings;
    private readonly ModuleList<ModernBertEncoderLayer> _layers;
    private readonly LayerNorm _finalNorm;
    private readonly RotaryEmbeddingByLayerType _rotaryEmb;

    public ModernBertModel(ConfigReader json) : base(Describe(json))
    {
        _isLocal = LocalLayers(json, Description.NumLayers);
        _distance = json.Count("local_attention", 128) / 2;
        _embeddings = Child("embeddings", new ModernBertEmbeddings(Description));
        _layers = Child("layers",
            new ModuleList<ModernBertEncoderLayer>(Description.NumLayers, layer => new ModernBertEncoderLayer(Description, layer)));
        _finalNorm = Child("final_norm", CreateNorm(Description));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbeddingByLayerType("ModernBertRotaryEmbedding",
            Frequencies("sliding_attention", json.Real("local_rope_theta", 10_000)),
            Frequencies("full_attention", json.Real("global_rope_theta", 160_000))));

        RotaryFrequencies Frequencies(string layerType, double theta) =>
            new(json, RopeParameters.Read(json, layerType, theta), Description.HeadDim);
    }

    internal override Parameter Embeddings => _embeddings.TokEmbeddings;

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embeddings.Call(inputIds);                                                     // [batch, seq, hidden]
        Tensor full = AttentionMask.Bidirectional(attentionMask, hidden.dtype);                        // [batch, 1, seq, kvSeq]
        Tensor near = AttentionMask.BidirectionalSliding(attentionMask, hidden.dtype, _distance);       // [batch, 1, seq, kvSeq]
        object?[] local = [], global = [];                                                              // 2 x [batch, seq, headDim]
        if (_isLocal.Contains(false)) global = _rotaryEmb.Call(hidden, positionIds, "full_attention");
        if (_isLocal.Contains(true)) local = _rotaryEmb.Call(hidden, positionIds, "sliding_attention");
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor mask = _isLocal[layer] ? near : full;                                               // [batch, 1, seq, kvSeq]
            object?[] positions = _isLocal[layer] ? local : global;                                     // 2 x [batch, seq, headDim]
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positions)[0]!;                          // [batch, seq, hidden]
        }
        hidden = _finalNorm.Call(hidden);                                                               // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }

    internal static LayerNorm CreateNorm(EncoderDescription description) =>
        new(description.HiddenSize, description.NormEps, bias: description.Json.Flag("norm_bias", false));

    /// <summary>Whether the tokens of each layer see only those near them.</summary>
    private static bool[] LocalLayers(ConfigReader json, int layers)
    {
        IReadOnlyList<string> types = SlidingWindows.LayerTypes(json, layers);
        int period = json.Size("global_attn_every_n_layers", 3);
        return [.. Enumerable.Range(0, layers).Select(layer =>
            types.Count > 0 ? types[layer] == "sliding_attention" : layer % period != 0)];
    }

    private static EncoderDescription Describe(ConfigReader json)
    {
        int size = json.Size("hidden_size", 768), heads = json.Size("num_attention_heads", 12);
        EncoderDescription.CheckHeads(json, "hidden_size", size, "num_attention_heads", heads);
        if (size / heads % 2 != 0)
            throw json.InvalidValue("hidden_size", "must give an even size to each head, whose halves are rotated", $"{size}");
        return new EncoderDescription(json, "ModernBert", "model")
        {
            VocabSize = json.Size("vocab_size", 50368), HiddenSize = size, NumHeads = heads,
            IntermediateSize = json.Size("intermediate_size", 1152), NumLayers = json.Size("num_hidden_layers", 22),
            MaxPositions = json.Size("max_position_embeddings", 8192), HasPositionTable = false, NormEps = json.Real("norm_eps", 1e-5),
            PadTokenId = EncoderDescription.PadToken(json, 50283),
            Names = new()
            {
                Embed = "embeddings.tok_embeddings", Layers = "layers", FinalNorm = "final_norm", LmHead = "", Attention = "attn",
                Mlp = "mlp",
            },
            Heads = ["head", "decoder", "classifier"],
        };
    }
}

[Architecture("ModernBertForMaskedLM", ModelType = "modernbert")]
public sealed class ModernBertForMaskedLM : EncoderForMaskedLM
{
    public ModernBertForMaskedLM(ConfigReader json) : base(new ModernBertModel(json))
    {
        _transform = Child("head", new ModernBertPredictionHead(Description));
        _decoder = Child("decoder", new Linear(Description.HiddenSize, Description.VocabSize, json.Flag("decoder_bias", true),
            Description.IsTied ? _model.Embeddings : null));
    }

    private protected override string LmHeadPath => "decoder";
}

[Architecture("ModernBertForSequenceClassification")]
public sealed class ModernBertForSequenceClassification : EncoderForSequenceClassification
{
    public ModernBertForSequenceClassification(ConfigReader json) : base(new ModernBertModel(json), ReadPooling(json))
    {
        _head = OfTexts("head", new ModernBertPredictionHead(Description));
        _dropout = OfTexts("drop", new Dropout(json.Real("classifier_dropout", 0)));
        _classifier = OfTexts("classifier", new Linear(Description.HiddenSize, Labels.Count));
    }

    private static SequencePooling ReadPooling(ConfigReader json) => json.Text("classifier_pooling", "cls") switch
    {
        "cls" => SequencePooling.FirstToken,
        "mean" => SequencePooling.Mean,
        string other => throw json.InvalidValue("classifier_pooling", "must be cls or mean", $"`{other}`"),
    };
}

[Architecture("ModernBertForTokenClassification")]
public sealed class ModernBertForTokenClassification : EncoderForTokenClassification
{
    public ModernBertForTokenClassification(ConfigReader json) : this(new ModernBertModel(json)) { }

    private ModernBertForTokenClassification(ModernBertModel model) : base(model, model.Description.Json.Real("classifier_dropout", 0),
        "drop", new ModernBertPredictionHead(model.Description)) { }
}

[SharedLayer]
public sealed partial class ModernBertEmbeddings : SiteModule
{
    private readonly Embedding _tokEmbeddings;
    private readonly LayerNorm _norm;
    private readonly Dropout _drop;

    internal ModernBertEmbeddings(EncoderDescription description)
    {
        _tokEmbeddings = Child("tok_embeddings", new Embedding(description.VocabSize, description.HiddenSize, description.PadTokenId));
        _norm = Child("norm", ModernBertModel.CreateNorm(description));
        _drop = Child("drop", new Dropout(description.Json.Real("embedding_dropout", 0)));
    }

    public override bool ReturnsTensor => true;

    internal Parameter TokEmbeddings => _tokEmbeddings.Table;

    /// <param name="inputIds">[batch, seq] int64</param>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor inputIds) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([], [new("input_ids", inputIds)])) : Forward(inputIds);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "input_ids"));

    private Tensor Forward(Tensor inputIds)
    {
        using var scope = NewDisposeScope();
        Tensor words = _tokEmbeddings.Call(inputIds);                                               // [batch, seq, hidden]
        return _drop.Call(_norm.Call(words)).MoveToOuterDisposeScope();                             // [batch, seq, hidden]
    }
}

[SharedLayer]
public sealed partial class ModernBertEncoderLayer : SiteModule
{
    private readonly TensorModule _attnNorm;
    private readonly ModernBertAttention _attn;
    private readonly LayerNorm _mlpNorm;
    private readonly ModernBertMLP _mlp;

    internal ModernBertEncoderLayer(EncoderDescription description, int layer)
    {
        _attnNorm = Child("attn_norm", layer == 0 ? new Identity() : (TensorModule)ModernBertModel.CreateNorm(description));
        _attn = Child("attn", new ModernBertAttention(description));
        _mlpNorm = Child("mlp_norm", ModernBertModel.CreateNorm(description));
        _mlp = Child("mlp", new ModernBertMLP(description));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("attn", "mlp");

    /// <param name="positionEmbeddings">Cosines and sines, each [batch, seq, headDim].</param>
    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, object?[] positionEmbeddings) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden], [.. ModernBertAttention.CreateKeywords(mask, positionEmbeddings)]))
        : Forward(hidden, mask, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"), arguments.Tuple(2, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attn.Call(_attnNorm.Call(hidden), mask, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                          // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_mlpNorm.Call(middle));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

[SharedLayer]
public sealed partial class ModernBertAttention : SiteModule
{
    private readonly int _heads, _headDim;
    private readonly double _scale;
    private readonly Linear _wqkv, _wo;
    private readonly TensorModule _outDrop;
    private readonly FusedAttention _fusedAttention;

    internal ModernBertAttention(EncoderDescription description)
    {
        int size = description.HiddenSize;
        bool bias = description.Json.Flag("attention_bias", false);
        double dropout = description.Json.Real("attention_dropout", 0);
        (_heads, _headDim) = (description.NumHeads, description.HeadDim);
        _scale = 1 / Math.Sqrt(_headDim);
        _wqkv = Child("Wqkv", new Linear(size, 3 * size, bias));
        _wo = Child("Wo", new Linear(size, size, bias));
        _outDrop = Child("out_drop", dropout > 0 ? new Dropout(dropout) : (TensorModule)new Identity());
        _fusedAttention = new FusedAttention(this, 0, _heads, _heads, _headDim, _scale) { Projections = [_wqkv], OutputProjection = _wo };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Joint(_heads, _heads, _headDim, "Wqkv", "Wo");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <param name="positionEmbeddings">Cosines and sines, each [batch, seq, headDim].</param>
    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, object?[] positionEmbeddings) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden], [.. CreateKeywords(mask, positionEmbeddings)]))
        : Forward(hidden, mask, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"), arguments.Tuple(2, "position_embeddings"));

    internal static IEnumerable<KeyValuePair<string, object?>> CreateKeywords(Tensor mask, object?[] positionEmbeddings)
    {
        yield return new("attention_mask", mask);
        yield return new("position_embeddings", positionEmbeddings);
    }

    private object?[] Forward(Tensor hidden, Tensor mask, object?[] positionEmbeddings)
    {
        if (_fusedAttention.TryForward(hidden, null, mask, positionEmbeddings) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor[] parts = _wqkv.Call(hidden).chunk(3, -1);                                           // 3 x [batch, seq, hidden]
        Tensor query = EagerAttention.SplitHeads(parts[0], _heads, _headDim);                       // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(parts[1], _heads, _headDim);                         // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(parts[2], _heads, _headDim);                       // [batch, heads, seq, headDim]
        query = RotaryEmbedding.Rotate(query, positionEmbeddings);
        key = RotaryEmbedding.Rotate(key, positionEmbeddings);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _outDrop.Call(_wo.Call(mixed.flatten(2)));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

/// <summary>down(activation(input) · gate), with input and gate in one projection.</summary>
[SharedLayer]
public sealed partial class ModernBertMLP : TensorModule
{
    private readonly Linear _wi, _wo;
    private readonly Activation _act;
    private readonly Dropout _drop;
    private readonly FusedMlp _fusedMlp;

    internal ModernBertMLP(EncoderDescription description)
    {
        bool bias = description.Json.Flag("mlp_bias", false);
        _wi = Child("Wi", new Linear(description.HiddenSize, 2 * description.IntermediateSize, bias));
        _act = Child("act", Activation.Read(description.Json, "hidden_activation", "gelu"));
        _drop = Child("drop", new Dropout(description.Json.Real("mlp_dropout", 0)));
        _wo = Child("Wo", new Linear(description.IntermediateSize, description.HiddenSize, bias));
        _fusedMlp = new FusedMlp(this, _wi, _wo, _act.Kind);
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.GateUp("Wi", "Wo");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor[] inputAndGate = _wi.Call(input).chunk(2, -1);                                       // 2 x [batch, seq, intermediate]
        Tensor intermediate = _drop.Call(_act.Call(inputAndGate[0]) * inputAndGate[1]);             // [batch, seq, intermediate]
        return _wo.Call(intermediate).MoveToOuterDisposeScope();                                    // [batch, seq, hidden]
    }
}

/// <summary>What precedes the logits of each head.</summary>
[SharedLayer]
public sealed partial class ModernBertPredictionHead : TensorModule
{
    private readonly Linear _dense;
    private readonly Activation _act;
    private readonly LayerNorm _norm;

    internal ModernBertPredictionHead(EncoderDescription description)
    {
        _dense = Child("dense",
            new Linear(description.HiddenSize, description.HiddenSize, description.Json.Flag("classifier_bias", false)));
        _act = Child("act", Activation.Read(description.Json, "classifier_activation", "gelu"));
        _norm = Child("norm", ModernBertModel.CreateNorm(description));
    }

    /// <param name="input">[..., hidden]: of each token, or of a text</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor activated = _act.Call(_dense.Call(input));                                           // [..., hidden]
        return _norm.Call(activated).MoveToOuterDisposeScope();
    }
}
