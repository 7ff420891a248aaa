using Ndif.Models.Config;
using Ndif.Protocol;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;


/// <summary>The values of a config that every model has.</summary>
/// <param name="ContextLength">max_position_embeddings, in tokens.</param>
/// <param name="NumLayers">Blocks, each with one entry in a cache.</param>
public sealed record PreTrainedConfig(int VocabSize, int ContextLength, int NumLayers);

/// <summary>
/// The root of a model's tree: embeddings, layers, and the head of its task, if it has one. A derived class is one architecture, in one
/// file under Architectures/.
/// </summary>
/// <remarks>PreTrainedModel in transformers/modeling_utils.py</remarks>
public abstract class PreTrainedModel : SiteModule
{
    /// <summary>The paths of embedding, layers, final norm and head; of attention and mlp relative to a layer.</summary>
    public abstract StandardNames Names { get; }

    public abstract PreTrainedConfig Config { get; }

    /// <summary>
    /// The path of the base model, which checkpoints of it alone leave out of their tensors' names: "transformer". Empty for a base model.
    /// </summary>
    public abstract string BaseModelPrefix { get; }

    /// <summary>What the output of the model is.</summary>
    public abstract ModelTask Task { get; }

    /// <summary>The names of the classes that a classifier tells apart, by index; empty for any other model.</summary>
    public virtual IReadOnlyList<string> Labels => [];

    /// <summary>The tree's modules by index, parents before children.</summary>
    public IReadOnlyList<SiteModule> Modules { get; internal set; } = [];

    /// <summary>The output projection; null if the model has no logits of tokens.</summary>
    internal SiteModule? LmHead => Names.LmHead is { Length: > 0 } path ? Modules.First(module => module.Path == path) : null;

    /// <summary>The model that this one is made from, whose architecture it has; null for a model of its own.</summary>
    private protected virtual PreTrainedModel? Origin => null;

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    /// <summary>
    /// Whether shorter rows of a batch are padded on the right, as their tokenizers do it, so that the first token of each row is the first
    /// column. Default: on the left, so that the last tokens are the last column.
    /// </summary>
    public virtual bool PadsRight => false;

    /// <summary>The number of types of tokens, which tell the two texts of a pair apart; 0 if the model has none.</summary>
    public virtual int TokenTypeCount => 0;

    /// <summary>
    /// True if the model has a row of a table for each position, so that a row longer than <see cref="PreTrainedConfig.ContextLength"/>
    /// cannot run. Any other model runs on beyond it, as in Hugging Face's code.
    /// </summary>
    public virtual bool HasPositionTable => Origin?.HasPositionTable ?? false;

    /// <summary>True if rotary frequencies depend on the length of a row, so that a prompt must not be run in parts.</summary>
    public bool HasLengthDependentRope => Modules.Any(module => module
        is Layers.RotaryEmbedding { LengthThreshold: not null } or Layers.RotaryEmbeddingByLayerType { LengthThreshold: not null });

    /// <summary>
    /// True if a layer needs more of the earlier tokens, or of the earlier layers, than its own keys and values: states of a recurrence,
    /// keys of another layer. A pass over a prompt then does not begin with what an earlier pass has computed.
    /// </summary>
    public virtual bool HasStatesBesideKeys => Origin?.HasStatesBesideKeys ?? false;

    /// <summary>
    /// True if layers use what an earlier layer has computed beside its hidden states: its keys and values, or a bias. In a pass that is
    /// shared with other programs, a module that one of them skips runs for the others, and so these would be there; a program that skips a
    /// module then has its passes to itself.
    /// </summary>
    public virtual bool SharesKeysOfLayers => Origin?.SharesKeysOfLayers ?? false;

    /// <summary>
    /// The length beyond which the cached keys and values of a growing row are computed again; null if they are kept with the frequencies
    /// that they had. As in Hugging Face's code for the model.
    /// </summary>
    public virtual long? CacheRecomputeLength => Origin?.CacheRecomputeLength;

    /// <summary>
    /// True for tensors that no module has: those that the model computes itself (causal masks and tables of rotary and sinusoidal
    /// embeddings in old checkpoints), and the head of the model that this one is made from.
    /// </summary>
    public virtual bool ShouldIgnore(string tensorName)
    {
        ReadOnlySpan<char> name = tensorName.AsSpan(tensorName.LastIndexOf('.') + 1);
        return name is "inv_freq" or "original_inv_freq" or "cos_cached" or "sin_cached" or "cos_sin_cache" or "embed_positions"
                or "masked_bias" or "causal_mask" or "attention_mask"
            || Origin is { Names.LmHead: var head } && tensorName.StartsWith($"{head}.", StringComparison.Ordinal)
            || IgnoredSuffixes.Any(suffix => tensorName.EndsWith(suffix, StringComparison.Ordinal))
            || IgnoredPrefixes.Any(prefix => tensorName.StartsWith(prefix, StringComparison.Ordinal));
    }

    /// <summary>
    /// The ends of the names of tensors that this model computes itself: causal masks under a name that other modules use for parameters,
    /// and constants.
    /// </summary>
    protected internal virtual IReadOnlyList<string> IgnoredSuffixes => Origin?.IgnoredSuffixes ?? [];

    /// <summary>The beginnings of the names of tensors of parts that are not there: towers for images and sound.</summary>
    public virtual IReadOnlyList<string> IgnoredPrefixes => Origin?.IgnoredPrefixes ?? [];

    /// <summary>
    /// Whether the output projection has the embedding's weight where a checkpoint has none for it, whatever config.json says.
    /// </summary>
    internal virtual bool TiesMissingHead => false;

    /// <summary>The config of the same model, with or without an output projection of its own.</summary>
    internal virtual ConfigReader WithTies(ConfigReader json, bool tied) => json.With("tie_word_embeddings", tied);

    /// <summary>Maps the name of a checkpoint tensor to its path in the tree, for modules that have been renamed since.</summary>
    public virtual string ToTreeName(string tensorName) => Origin?.ToTreeName(tensorName) ?? tensorName;

    /// <summary>One forward pass.</summary>
    /// <returns>What <see cref="Task"/> says: logits or hidden states, and the cache where there is one.</returns>
    /// <exception cref="NdifException">An input does not fit the model.</exception>
    public abstract ModelOutput Call(ModelInputs inputs);

    /// <summary>The last tokens, whose logits are computed.</summary>
    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <returns>[batch, seq kept, hidden]</returns>
    protected static Tensor Kept(Tensor hidden, int logitsToKeep) =>
        logitsToKeep <= 0 || logitsToKeep >= hidden.size(1) ? hidden : hidden.narrow(1, hidden.size(1) - logitsToKeep, logitsToKeep);
}
