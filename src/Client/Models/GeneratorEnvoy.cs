using Ndif.Protocol.Programs;

namespace Ndif;

/// <summary>The sites of a generation that belong to no module of the model.</summary>
public sealed class GeneratorEnvoy : Envoy
{
    private readonly LanguageModel _model;

    internal GeneratorEnvoy(LanguageModel model) : base(model, GeneratorSites.Generator, GeneratorSites.Info) => _model = model;

    /// <summary>
    /// The values that Hugging Face's streamer receives: in call 0 the ids of the prompts [batch, seq], before their pass; in call n the
    /// nth new token of each row [batch], after the pass that computed it. A row that has ended has padding.
    /// </summary>
    public Envoy Streamer => new(_model, GeneratorSites.Streamer, GeneratorSites.Info.Children[0]);
}
