namespace Ndif.Dictionaries;

/// <summary>
/// An autoencoder or a transcoder on a layer of a model. <see cref="SpliceInto"/> puts it into the model: its site becomes decoded features
/// plus what they do not explain, so that nothing changes until a feature or the error is edited.
/// <code>
///   AttachedSae sae = llm.Layers[2].AttachSae("folder");
///   LanguageModel spliced = sae.SpliceInto(llm);
///   using var t = spliced.Trace(prompt);
///   var features = sae.Features.Save();                  // [batch, seq, features]
///   sae.Features[.., .., 17] = 0;                        // ablate feature 17
///   sae.Features[.., ^1, 4] += 3;                        // steer along feature 4 at the last position
/// </code>
/// Within one invoke, use them in the order in which they are computed: pre-activations, features, reconstruction, error, target.
/// </summary>
public sealed class AttachedSae
{
    private readonly HookSite _input, _output;
    private readonly Envoy _errorModule;

    internal AttachedSae(Sae sae, Envoy layer, string name, HookSite input, HookSite output)
    {
        (Sae, Layer, _input, _output) = (sae, layer, input, output);
        Module = layer.Attach(name, sae);
        _errorModule = layer.Attach($"{name}_error", new ReconstructionError());
    }

    /// <summary>The weights, and what is computed with them.</summary>
    public Sae Sae { get; }

    /// <summary>The layer to which it is attached.</summary>
    public Envoy Layer { get; }

    /// <summary>It as a module of the model, with the submodules encoder, features and decoder.</summary>
    public Envoy Module { get; }

    /// <summary>The site that it reads, in any trace of the model. [batch, seq, inputs]</summary>
    public Value Input => _input.Value;

    /// <summary>The site that it explains: its input, or of a transcoder the value that it predicts. [batch, seq, outputs]</summary>
    public Value Target
    {
        get => _output.Value;
        internal set => _output.Value = value;
    }

    /// <summary>Whether its directions are those of the residual stream, which the final norm and the head read.</summary>
    internal bool WritesToResidualStream => _output.IsInResidualStream;

    /// <summary>The activations of its features in a model into which it is spliced. [batch, seq, features]</summary>
    public Value Features
    {
        get => Module["features"].Output;
        set => Module["features"].Output = value;
    }

    /// <summary>
    /// The values before the activation, where it is spliced in; of a gated encoder without its biases. [batch, seq, features]
    /// </summary>
    public Value PreActivations
    {
        get => Module["encoder"].Output;
        set => Module["encoder"].Output = value;
    }

    /// <summary>What its features stand for, after edits of them, where it is spliced in. [batch, seq, outputs]</summary>
    public Value Reconstruction
    {
        get => Module.Output;
        set => Module.Output = value;
    }

    /// <summary>What its features did not explain before they were edited, where it is spliced in. [batch, seq, outputs]</summary>
    public Value Error
    {
        get => _errorModule.Output;
        set => _errorModule.Output = value;
    }

    /// <summary>Records the activations of its features, in any trace of the model. [batch, seq, features]</summary>
    public Value Encode() => Sae.Encode(Input);

    /// <summary>
    /// A model in which every later trace computes the site from the features and the error. Several can be spliced into a model one after
    /// the other. The gradient flows through the features, and not through the error, as in SAELens.
    /// </summary>
    /// <param name="model">The model, or an edited one that derives from it.</param>
    /// <param name="keepError">False: the site becomes what the features stand for alone.</param>
    public LanguageModel SpliceInto(LanguageModel model, bool keepError = true) => model.Edit(() => Splice(keepError));

    private void Splice(bool keepError)
    {
        Value input = Input, target = Target;
        Value reconstruction = Module.Call(input);
        Value? error = keepError ? _errorModule.Call((target.To(Sae.Config.Dtype) - Sae.Reconstruct(input)).Detach()) : null;
        Target = (error is null ? reconstruction : reconstruction + error).TypeAs(target);
    }

    /// <summary>A site for the error.</summary>
    private sealed class ReconstructionError : ModuleDefinition
    {
        protected override Value Forward(Value input) => input * 1;
    }
}
