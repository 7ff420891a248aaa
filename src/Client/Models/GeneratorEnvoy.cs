using Ndif.Protocol;

namespace Ndif;

/// <summary>The sites of a generation that belong to no module of the model.</summary>
public sealed class GeneratorEnvoy : Envoy
{
    internal GeneratorEnvoy(LanguageModel model) : base(model, GeneratorSites.Generator, GeneratorSites.Info) { }

    /// <summary>
    /// Its output is what a streamer would be handed: in call 0 the prompts' ids [rows, tokens], before their pass; in call n the nth new token
    /// of each row [rows], after the pass that made it. A row that has ended shows padding.
    /// </summary>
    public Envoy Streamer => this["streamer"];
}
