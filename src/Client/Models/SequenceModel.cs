using Ndif.Protocol;
using Ndif.Running;

namespace Ndif;

/// <summary>
/// A model that reads sequences and generates none: an encoder, a classifier of texts or tokens, a reward model, a masked language model,
/// or the base model of any architecture. Its checkpoint's <c>architectures</c> say which (<see cref="TransformersModel.ModelTask"/>).
/// </summary>
/// <param name="id">"openai-community/gpt2", a path, or the name of a model that the service has.</param>
/// <param name="revision">A branch, tag or commit; empty for the default branch.</param>
/// <param name="remote">Where its traces run if a trace does not set it; null for <see cref="NdifConfig.DefaultBackend"/>.</param>
/// <param name="rename">
/// Other names of modules: <c>new() { ["mlp"] = "feed_forward", ["transformer.h"] = ["layers", "blocks"] }</c>. A name renames every module
/// of that name; a path gives one module the new name below the root. The old names remain valid.
/// </param>
/// <param name="edits">A file of edits that the model has from the start; see <see cref="TracedModel.ImportEdits"/>.</param>
/// <param name="dtype">
/// The element type of the weights: <see cref="DType.Float32"/>, <see cref="DType.BFloat16"/> or <see cref="DType.Float16"/>; null for that
/// of the checkpoint. This parameter and the next three apply to runs in this process; a remote run is an error (BAD_ARGUMENT), because the
/// service has already loaded its model.
/// </param>
/// <param name="adapter">
/// A LoRA adapter in PEFT's format, a folder or an id on the hub, which is merged into the weights when they are loaded.
/// </param>
/// <param name="eightBit">
/// Store the weights of linear layers in eight bits: about a quarter of the memory of float32, and less exact.
/// </param>
/// <param name="device">
/// The device of the weights: "cpu", "cuda" or "cuda:1". Several devices, "cuda:0,cuda:1", share the layers of a model that is too large
/// for one.
/// </param>
/// <example><code>
/// var classifier = new SequenceModel("./my-classifier");
/// var (cls, logits) = await classifier.TraceAsync(
///     "a fine film", t => (classifier.Layers[^1].Hidden[.., 0].Save(), classifier.Logits.Save()));
/// </code></example>
public sealed class SequenceModel(
    string id, string revision = "", Backend? remote = null, Dictionary<string, Aliases>? rename = null, string? edits = null,
    DType? dtype = null, string? adapter = null, bool eightBit = false, string device = "cpu")
    : TransformersModel(new LocalModel(id, revision, dtype, adapter, eightBit, device), remote, rename, edits)
{
    private protected override bool Accepts(ModelTask task) => !task.Generates();

    private protected override string ClassForOtherTasks => nameof(LanguageModel);

    /// <summary>The names of the classes that a classifier tells apart, by the index of their logits; empty for any other model.</summary>
    public IReadOnlyList<string> Labels => Description.Labels;

    /// <summary>
    /// The scores of a model with a head: [batch, labels] of a classifier of texts, [batch, seq, labels] of tokens, [batch, seq, vocab] of
    /// a masked language model.
    /// </summary>
    public Value Logits => Output["logits"];

    /// <summary>The hidden states that a model without a head returns. [batch, seq, hidden]</summary>
    public Value LastHiddenState => Output["last_hidden_state"];

    /// <inheritdoc cref="LanguageModel.Edit"/>
    public SequenceModel Edit(Action edit, bool inPlace = false)
    {
        SequenceModel edited = inPlace ? this : CloneWithoutEdits();
        edited.AddEdit(inPlace ? null : this, edit);
        return edited;
    }

    /// <inheritdoc cref="LanguageModel.WithAdapter"/>
    public SequenceModel WithAdapter(string adapter) => WithEdits(CloneWithoutEdits(), LoraEdits.Read(this, adapter));

    private SequenceModel CloneWithoutEdits() => ShareWith(new SequenceModel(
        Id, Revision, DefaultBackend, new(Rename), null, LocalModel.Dtype, LocalModel.Adapter, LocalModel.EightBit, LocalModel.Device));
}
