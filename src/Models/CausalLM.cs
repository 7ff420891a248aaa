using Ndif.Protocol;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;

/// <summary>The values of a config that every language model has.</summary>
/// <param name="ContextLength">max_position_embeddings, in tokens.</param>
/// <param name="NumLayers">Blocks, each with one entry in a cache.</param>
public sealed record CausalLMConfig(int VocabSize, int ContextLength, int NumLayers);

/// <summary>
/// The root of a language model's tree: embeddings, layers, final norm, head. A derived class is one architecture, in one file under
/// Architectures/.
/// </summary>
public abstract class CausalLM : SiteModule
{
    /// <summary>The paths of embedding, layers, final norm and head; of attention and mlp relative to a layer.</summary>
    public abstract StandardNames Names { get; }

    public abstract CausalLMConfig Config { get; }

    /// <summary>
    /// The path of the base model, which checkpoints of it alone leave out of their tensors' names: "transformer".
    /// </summary>
    public abstract string BaseModelPrefix { get; }

    /// <summary>The tree's modules by index, parents before children.</summary>
    public IReadOnlyList<SiteModule> Modules { get; internal set; } = [];

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    /// <summary>
    /// True if the model has a row of a table for each position, so that a row longer than <see cref="CausalLMConfig.ContextLength"/>
    /// cannot run. Any other model runs on beyond it, as in Hugging Face's code.
    /// </summary>
    public virtual bool HasPositionTable => false;

    /// <summary>True if rotary frequencies depend on the length of a row, so that a prompt must not be run in parts.</summary>
    public bool HasLengthDependentRope => Modules.Any(module => module
        is Layers.RotaryEmbedding { LengthThreshold: not null } or Layers.RotaryEmbeddingByLayerType { LengthThreshold: not null });

    /// <summary>
    /// True if a layer needs more of the earlier tokens, or of the earlier layers, than its own keys and values: states of a recurrence,
    /// keys of another layer. A pass over a prompt then does not begin with what an earlier pass has computed.
    /// </summary>
    public virtual bool HasStatesBesideKeys => false;

    /// <summary>
    /// True if layers attend to the keys and values of an earlier layer. In a pass that is shared with other programs, a module that one
    /// of them skips runs for the others, and so its keys would be there; a program that skips a module then has its passes to itself.
    /// </summary>
    public virtual bool SharesKeysOfLayers => false;

    /// <summary>
    /// The length beyond which the cached keys and values of a growing row are computed again; null if they are kept with the frequencies
    /// that they had. As in Hugging Face's code for the model.
    /// </summary>
    public virtual long? CacheRecomputeLength => null;

    /// <summary>
    /// True for tensors of old checkpoints that no module has, because the model computes them: causal masks, and the tables of rotary and
    /// sinusoidal embeddings.
    /// </summary>
    public bool ShouldIgnore(string tensorName)
    {
        ReadOnlySpan<char> name = tensorName.AsSpan(tensorName.LastIndexOf('.') + 1);
        return name is "inv_freq" or "original_inv_freq" or "cos_cached" or "sin_cached" or "cos_sin_cache" or "embed_positions"
                or "masked_bias" or "causal_mask" or "attention_mask"
            || IgnoredSuffixes.Any(suffix => tensorName.EndsWith(suffix, StringComparison.Ordinal))
            || IgnoredPrefixes.Any(prefix => tensorName.StartsWith(prefix, StringComparison.Ordinal));
    }

    /// <summary>
    /// The ends of the names of tensors that this model computes itself: causal masks under a name that other modules use for parameters,
    /// and constants.
    /// </summary>
    protected virtual IReadOnlyList<string> IgnoredSuffixes => [];

    /// <summary>The beginnings of the names of tensors of parts that are not there: towers for images and sound.</summary>
    public virtual IReadOnlyList<string> IgnoredPrefixes => [];

    /// <summary>Maps the name of a checkpoint tensor to its path in the tree, for modules that have been renamed since.</summary>
    public virtual string ToTreeName(string tensorName) => tensorName;

    /// <summary>The keyword of the first argument: input_ids; inputs_embeds for the language model inside a multimodal one.</summary>
    protected virtual string InputName => "input_ids";

    /// <summary>One forward pass.</summary>
    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="attentionMask">[batch, cached + seq] int64: 1 for a token, 0 for padding</param>
    /// <param name="positionIds">[batch, seq] int64: the position of a token in its row, padding not counted</param>
    /// <param name="cache">The keys and values of the earlier tokens, to which these are appended; null to run without a cache.</param>
    /// <param name="logitsToKeep">The number of last tokens whose logits are computed; 0 for all.</param>
    /// <returns><c>logits</c> [batch, seq kept, vocab] and <c>past_key_values</c>, the cache.</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep = 0) =>
        Hook is { } observer
            ? CallHooked<ModelOutput>(observer, new Arguments([],
            [
                new(InputName, inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
                new("past_key_values", cache), new("use_cache", cache is not null), new("logits_to_keep", (long)logitsToKeep),
            ]))
            : Forward(inputIds, attentionMask, positionIds, cache, logitsToKeep);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, InputName),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Get(5, "logits_to_keep") is long keep ? (int)keep : 0);

    protected abstract ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep);

    /// <summary>The last tokens, whose logits are computed.</summary>
    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <returns>[batch, seq kept, hidden]</returns>
    protected static Tensor Kept(Tensor hidden, int logitsToKeep) =>
        logitsToKeep <= 0 || logitsToKeep >= hidden.size(1) ? hidden : hidden.narrow(1, hidden.size(1) - logitsToKeep, logitsToKeep);
}
