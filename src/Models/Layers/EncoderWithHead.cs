using Ndif.Models.Config;
using Ndif.Protocol;

namespace Ndif.Models.Layers;

/// <summary>An encoder with a head.</summary>
public abstract class EncoderWithHead : BidirectionalModel
{
    private protected readonly EncoderModel _model;

    /// <param name="before">The children that come before the encoder in the module tree.</param>
    private protected EncoderWithHead(EncoderModel model, params ReadOnlySpan<(string Name, SiteModule Module)> before)
    {
        foreach (var (name, module) in before) Child(name, module);
        _model = Child(model.Description.Prefix, model);
    }

    internal sealed override EncoderDescription Description => _model.Description;

    public sealed override StandardNames Names
    {
        get
        {
            StandardNames names = _model.Names;
            (names.Embed, names.Layers, names.LmHead) = (Inside(names.Embed), Inside(names.Layers), LmHeadPath);
            if (names.FinalNorm.Length > 0) names.FinalNorm = Inside(names.FinalNorm);
            return names;

            string Inside(string path) => $"{BaseModelPrefix}.{path}";
        }
    }

    public sealed override string BaseModelPrefix => Description.Prefix;

    /// <summary>The path of the module with the logits of the vocabulary; empty if there is none.</summary>
    private protected virtual string LmHeadPath => "";
}

/// <summary>An encoder with a head that classifies.</summary>
public abstract class EncoderForClassification : EncoderWithHead
{
    private protected EncoderForClassification(EncoderModel model) : base(model) => Labels = ClassLabels.Read(model.Description.Json);

    public sealed override IReadOnlyList<string> Labels { get; }
}
