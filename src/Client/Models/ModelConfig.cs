using System.Globalization;
using System.Text.Json;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// The sizes of a model, under the same names on every architecture. They come from its description, so they need neither weights nor an
/// open trace, and are the same for a model of the service.
/// </summary>
public sealed class ModelConfig
{
    private readonly ModelDescription _model;
    private readonly AttentionLayout _attention;

    internal ModelConfig(ModelDescription model)
    {
        _model = model;
        ModuleInfo[] layers = [.. model.Root.Find(model.Names.Layers)?.Children ?? []];
        ModuleInfo[] attentions = [.. layers.Select(layer => layer.Find(model.Names.Attention)).OfType<ModuleInfo>()
            .Where(module => module.Attention is not null)];
        Layers = layers.Length;
        _attention = attentions.FirstOrDefault()?.Attention ?? new AttentionLayout();
        Window = attentions.Select(module => (int?)module.Attention.Window).FirstOrDefault(window => window > 0);
        Hidden = attentions is [var first, ..] ? WeightLayouts.OutFeatures(first.Find(first.Attention.Output)!)
            : (int)(model.Root.Find(model.Names.Embed)?.Parameters[0].Shape[^1] ?? 0);
        Intermediate = layers.Select(layer => WeightLayouts.Intermediate(layer, model.Names.Mlp)).FirstOrDefault(size => size is not null);
    }

    /// <summary>The class of transformers: "GPT2LMHeadModel".</summary>
    public string Architecture => _model.Architecture;

    /// <summary>The number of layers; of an encoder-decoder those of the decoder.</summary>
    public int Layers { get; }

    /// <summary>The number of query heads of a layer, which is that of its attention patterns; 0 for a model without attention.</summary>
    public int Heads => (int)_attention.Heads;

    /// <summary>The number of heads of keys and values; each serves <c>Heads / KvHeads</c> query heads.</summary>
    public int KvHeads => (int)_attention.KvHeads;

    /// <summary>The size of a head.</summary>
    public int HeadDim => (int)_attention.HeadDim;

    /// <summary>The size of the residual stream.</summary>
    public int Hidden { get; }

    /// <summary>The number of neurons of the first layer's mlp; null if that has experts, or another form.</summary>
    public int? Intermediate { get; }

    /// <summary>The number of tokens of the vocabulary.</summary>
    public int Vocab => (int)_model.Vocabulary;

    /// <summary>The longest row for which the model was trained, in tokens (max_position_embeddings).</summary>
    public int Context => (int)_model.ContextLength;

    /// <summary>
    /// In layers with a sliding window: a token attends to itself and the <c>Window - 1</c> tokens before it. Null if no layer has one.
    /// </summary>
    public int? Window { get; }

    /// <summary>The element type of the weights.</summary>
    public DType DType => (DType)_model.Dtype;

    /// <summary>The number of parameters; tied weights count once.</summary>
    public long Parameters => (long)_model.Parameters;

    /// <summary>
    /// The model's config.json, for what has no name here: <c>llm.Config.Json.GetProperty("rope_theta").GetDouble()</c>. Undefined if the
    /// model has none, as a GGUF file.
    /// </summary>
    public JsonElement Json => field.ValueKind is not JsonValueKind.Undefined || !_model.Files.TryGetValue("config.json", out var file)
        ? field : field = JsonElement.Parse(file.Span);

    /// <summary>One line: "GPT2LMHeadModel: layers 4, heads 4, ...".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Architecture}: layers {Layers}, heads {Heads}, kvHeads {KvHeads}, headDim {HeadDim}, hidden {Hidden}, "
        + $"intermediate {Intermediate?.ToString(CultureInfo.InvariantCulture) ?? "-"}, vocab {Vocab}, context {Context}, "
        + $"window {Window?.ToString(CultureInfo.InvariantCulture) ?? "-"}, {DType}");
}
