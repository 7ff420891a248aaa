using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>Attaches dictionaries to a model.</summary>
public static class SaeExtensions
{
    private const string DefaultName = "sae", DefaultInput = "hook_resid_post", DefaultTranscoderInput = "mlp.hook_in",
        DefaultTranscoderOutput = "hook_mlp_out";

    /// <summary>
    /// Attaches the autoencoder or transcoder of a folder in SAELens's layout (cfg.json, sae_weights.safetensors) to a layer, at the site
    /// that its config names. Nothing of the model changes: see <see cref="AttachedSae"/>.
    /// </summary>
    /// <param name="layer">A layer of the model: <c>llm.Layers[2]</c>.</param>
    /// <param name="folderOrId">
    /// A folder, or an id in the cache of the Hugging Face hub with the folder in its repository:
    /// "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre".
    /// </param>
    /// <param name="name">The name of the module below the layer. Attaching under a name again replaces the module.</param>
    /// <param name="hook">
    /// Where it reads, in place of what the config says: hook_resid_pre, hook_resid_mid, hook_resid_post, hook_attn_out, attn.hook_z,
    /// mlp.hook_in, hook_mlp_out.
    /// </param>
    /// <param name="hookOut">The site that a transcoder predicts, in place of what the config says.</param>
    /// <param name="normScalingFactor">The factor of normalize_activations expected_average_only_in.</param>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODEL: it was not found. BAD_CHECKPOINT: it is damaged, or of another model. UNSUPPORTED: its architecture or its site is
    /// not supported. BAD_ARGUMENT: its config names another layer.
    /// </exception>
    public static AttachedSae AttachSae(
        this Envoy layer, string folderOrId, string name = DefaultName, string? hook = null, string? hookOut = null,
        double? normScalingFactor = null) =>
        layer.AttachSae(SaeLensFolder.Read(DictionaryFolder.Find(folderOrId), normScalingFactor), name, hook, hookOut);

    /// <summary>Attaches an autoencoder or a transcoder to a layer.</summary>
    /// <param name="sae">The weights.</param>
    /// <inheritdoc cref="AttachSae(Envoy, string, string, string?, string?, double?)"/>
    public static AttachedSae AttachSae(this Envoy layer, Sae sae, string name = DefaultName, string? hook = null, string? hookOut = null)
    {
        ArgumentNullException.ThrowIfNull(layer);
        ArgumentNullException.ThrowIfNull(sae);
        int number = GetNumber(layer);
        string input = Choose(hook, sae.Config.HookName, sae.Config.IsTranscoder ? DefaultTranscoderInput : DefaultInput, layer, number);
        HookSite site = HookSite.Find(layer, input);
        HookSite output = !sae.Config.IsTranscoder ? site
            : HookSite.Find(layer, Choose(hookOut, sae.Config.HookNameOut, DefaultTranscoderOutput, layer, number));
        CheckSize(layer, sae, site.Name, sae.Config.InputSize);
        CheckSize(layer, sae, output.Name, sae.Config.OutputSize);
        return new AttachedSae(sae, layer, name, site, output);
    }

    /// <summary>Attaches the autoencoder or transcoder of a folder to the layer that its config names.</summary>
    /// <inheritdoc cref="AttachSae(Envoy, string, string, string?, string?, double?)"/>
    public static AttachedSae AttachSae(
        this LanguageModel model, string folderOrId, string name = DefaultName, double? normScalingFactor = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.AttachSae(SaeLensFolder.Read(DictionaryFolder.Find(folderOrId), normScalingFactor), name);
    }

    /// <summary>Attaches an autoencoder or a transcoder to the layer that its config names.</summary>
    /// <param name="sae">The weights, with a hook_name such as "blocks.2.hook_resid_post".</param>
    /// <inheritdoc cref="AttachSae(Envoy, string, string, string?, string?, double?)"/>
    public static AttachedSae AttachSae(this LanguageModel model, Sae sae, string name = DefaultName)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(sae);
        int layer = HookSite.Parse(sae.Config.HookName).Layer ?? throw Errors.CreateException(ErrorCode.BadArgument,
            $"The dictionary does not say to which layer it belongs: its hook_name is \"{sae.Config.HookName}\".",
            "Attach it to a layer: llm.Layers[2].AttachSae(...).");
        if (layer >= model.Layers.Count)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The dictionary belongs to layer {layer} ({sae.Config.HookName}); `{model.Id}` has {model.Layers.Count} layers.",
                sae.Config.ModelName.Length > 0 ? $"It was trained on {sae.Config.ModelName}." : "");
        return model.Layers[layer].AttachSae(sae, name);
    }

    /// <summary>
    /// Attaches the transcoders of all layers: a folder in circuit-tracer's layout (config.yaml and a safetensors file for each layer), or
    /// an id in the cache of the Hugging Face hub.
    /// </summary>
    /// <exception cref="NdifException">
    /// UNKNOWN_MODEL: it was not found. BAD_CHECKPOINT: it is damaged, or of another model. UNSUPPORTED: it is of another kind, such as
    /// cross-layer transcoders.
    /// </exception>
    public static AttachedTranscoders AttachTranscoders(this LanguageModel model, string folderOrId, string name = "transcoder") =>
        model.AttachTranscoders(CircuitTracerFolder.Read(DictionaryFolder.Find(folderOrId)), name);

    /// <summary>Attaches a transcoder to each layer.</summary>
    /// <param name="transcoders">One for each layer, from layer 0 on.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: the model has another number of layers.</exception>
    public static AttachedTranscoders AttachTranscoders(
        this LanguageModel model, IReadOnlyList<Sae> transcoders, string name = "transcoder")
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(transcoders);
        if (transcoders.Count != model.Layers.Count)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"There are {transcoders.Count} transcoders, and `{model.Id}` has {model.Layers.Count} layers.",
                transcoders is [{ Config.ModelName: { Length: > 0 } trained }, ..] ? $"They were trained on {trained}." : "");
        return new AttachedTranscoders([.. transcoders.Select((sae, layer) => model.Layers[layer].AttachSae(sae, name))]);
    }

    private static string Choose(string? hook, string configured, string otherwise, Envoy layer, int number)
    {
        if (hook is not null) return hook;
        if (configured.Length == 0) return otherwise;
        if (HookSite.Parse(configured).Layer is { } named && named != number)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The dictionary belongs to layer {named} ({configured}), and `{layer.Path}` is layer {number}.",
                $"Attach it to layer {named}, or pass the site: hook: \"{HookSite.Parse(configured).Name}\".", layer.Path);
        return configured;
    }

    private static int GetNumber(Envoy layer)
    {
        string layers = layer.Model.Description.Names.Layers;
        (string parent, string name) = ModulePaths.Split(layer.Path);
        return layers.Length > 0 && parent == layers && int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw Errors.CreateException(ErrorCode.BadArgument, 
                $"{(layer.Path.Length == 0 ? "The model itself" : $"`{layer.Path}`")} is not a layer of the model.",
                "Attach a dictionary to a layer: llm.Layers[2].AttachSae(...).", layer.Path);
    }

    /// <summary>Every supported site but the heads of the attention has the size of the hidden state.</summary>
    private static void CheckSize(Envoy layer, Sae sae, string site, int size)
    {
        ModelDescription model = layer.Model.Description;
        if (site.EndsWith("hook_z", StringComparison.Ordinal) || model.Root.Find(model.Names.FinalNorm) is not { } norm
            || norm.Parameters.FirstOrDefault(parameter => parameter.Name == "weight") is not { Shape.Count: 1 } weight) return;
        if (weight.Shape[0] != size)
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"The dictionary is of vectors of size {size}, and `{site}` of `{layer.Path}` has size {weight.Shape[0]}.",
                sae.Config.ModelName.Length > 0 ? $"It was trained on {sae.Config.ModelName}." : "It was trained on another model.",
                layer.Path);
    }
}
