using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Remote;
using Ndif.Running;
using Ndif.Tokenizers;

namespace Ndif;

/// <summary>
/// A language model that generates text, named by its Hugging Face id, a folder, or a name of the service. Nothing is loaded before the
/// first local run; a remote run loads nothing into this process.
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
public sealed partial class LanguageModel(
    string id, string revision = "", Backend? remote = null, Dictionary<string, Aliases>? rename = null, string? edits = null,
    DType? dtype = null, string? adapter = null, bool eightBit = false, string device = "cpu")
    : TransformersModel(new LocalModel(id, revision, dtype, adapter, eightBit, device), remote, rename, edits)
{
    private protected override bool Accepts(ModelTask task) => task.Generates();

    private protected override string ClassForOtherTasks => nameof(SequenceModel);

    /// <summary>The encoder of an encoder-decoder. <see cref="TransformersModel.Layers"/> are those of the decoder.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the model has no encoder.</exception>
    public Envoy Encoder => FindStandardModule(Description.Names.Encoder, "encoder");

    /// <summary>The layers of the encoder, a module list.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the model has no encoder.</exception>
    public Envoy EncoderLayers => FindStandardModule(Description.Names.EncoderLayers, "encoder");

    /// <summary>The decoder of an encoder-decoder.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the model has no decoder beside an encoder.</exception>
    public Envoy Decoder => FindStandardModule(Description.Names.Decoder, "decoder");

    /// <summary>The norm before the output projection.</summary>
    public Envoy FinalNorm => FindStandardModule(Description.Names.FinalNorm, "final norm");

    /// <summary>The output projection.</summary>
    public Envoy LmHead => FindStandardModule(Description.Names.LmHead, "output projection");

    /// <summary>The output projection: a column for each token. A copy of the weight. [hidden, vocab]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value WU => LmHead.Parameter("weight").Transpose(0, 1);

    /// <summary>
    /// The scores of each next token: the last value of a pass, after the output projection and the scaling or capping that some
    /// architectures apply to it. [batch, seq, vocab]
    /// </summary>
    public Value Logits => Output["logits"];

    /// <summary>
    /// Opens a trace over a generation: the pass of the prompt and one pass for each new token.
    /// </summary>
    /// <param name="prompt">As in <see cref="Trace"/>; null if each invoke has its own.</param>
    /// <param name="maxNewTokens">
    /// The largest number of new tokens of a row: <see cref="GenerationOptions.MaxNewTokens"/>, which this argument overrides.
    /// </param>
    /// <param name="options">How tokens are chosen and when a row ends; the model's own options where it is null.</param>
    /// <param name="remote">True: on the service. See <see cref="Backend"/>.</param>
    /// <param name="inputIds">Token ids instead of a prompt, in any of its forms.</param>
    /// <param name="attentionMask">0 where a token is padding; the shape of the ids.</param>
    /// <param name="decoderInputIds">As in <see cref="TransformersModel.Trace"/>.</param>
    /// <example><code>using var t = llm.Generate("Hello", maxNewTokens: 5, new() { Temperature = 0.7, TopP = 0.9 });</code></example>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: an option is out of its bounds; the message names it.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A count is negative.</exception>
    public Trace Generate(
        object? prompt = null, int? maxNewTokens = null, GenerationOptions? options = null, Backend? remote = null,
        object? inputIds = null, object? attentionMask = null, object? decoderInputIds = null)
    {
        options ??= new GenerationOptions();
        if (maxNewTokens is not null) options = options with { MaxNewTokens = maxNewTokens };
        Generation generation = options.ToProto();
        GenerationOptionsValidator.Validate(generation);
        object? input = PromptConverter.Combine(prompt, inputIds, attentionMask, decoderInputIds: decoderInputIds);
        return Open(input, Mode.Generate, BackendOrDefault(remote), false, generation);
    }

    /// <summary>The options of a generation that the model's files set; <see cref="Generate"/> uses them where a call does not.</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: generation_config.json cannot be read.</exception>
    public GenerationDefaults GenerationDefaults => field ??= GenerationDefaults.FromModel(Description);

    /// <summary>
    /// The sites of a generation that are not modules. <c>Generator.Output</c> is the result. <c>Generator.Streamer.Output</c> is first the
    /// ids of the prompts and then each new token [batch]; a row continues with a token that replaces it.
    /// </summary>
    public GeneratorEnvoy Generator => new(this);

    /// <summary>The number of new tokens of a row where the options of a call do not set it.</summary>
    internal int GetMaxNewTokens(Generation options) =>
        options is not { HasUseModelDefaults: true, UseModelDefaults: false }
        && GenerationDefaults.Read(Description).Options is { HasMaxNewTokens: true } file ? (int)file.MaxNewTokens
            : GenerationDefaults.DefaultMaxNewTokens;

    private protected override Envoy Find(string path) => path switch
    {
        GeneratorSites.Generator => Generator,
        GeneratorSites.Streamer => Generator.Streamer,
        _ => base.Find(path),
    };

    /// <summary>The tree as PyTorch prints it, with the sites of a generation as in nnsight.</summary>
    public override string ToString()
    {
        ModuleInfo root = Info.Clone();
        root.Children.Add(GeneratorSites.Info);
        return ModulePrinter.Print(root, Path, Aliases.Label);
    }

    /// <summary>
    /// Adds a persistent edit: every later trace applies it to each prompt, before the operations of the trace itself, at every call of its
    /// modules, so in each step of a generation. An edit that selects calls by <see cref="Envoy.Next"/> applies to these calls only.
    /// Nothing runs now; each trace records the edit again.
    /// </summary>
    /// <param name="edit">Records the operations of the edit.</param>
    /// <param name="inPlace">Change this model instead of returning an edited one that shares its weights.</param>
    /// <example><code>var edited = llm.Edit(() => llm.Layers[^1].Hidden[.., ^1] = parisHidden.Tensor);</code></example>
    public LanguageModel Edit(Action edit, bool inPlace = false)
    {
        LanguageModel edited = inPlace ? this : CloneWithoutEdits();
        edited.AddEdit(inPlace ? null : this, edit);
        return edited;
    }

    /// <summary>
    /// A model with a LoRA adapter: it shares the weights of this model, and persistent edits add the adapter's change in every pass of
    /// every later trace. The service does not need the adapter: its matrices are sent with the trace, large ones once. Traces with
    /// different adapters, and traces without one, share passes.
    /// </summary>
    /// <param name="adapter">
    /// A folder in PEFT's format, or an id on the hub. The engine reads it, so this process must reference the engine.
    /// </param>
    /// <remarks>
    /// forward in peft/tuners/lora/layer.py. To merge an adapter into weights that this process loads, open the model with <c>adapter:</c>.
    /// </remarks>
    /// <exception cref="NdifException">
    /// BAD_CHECKPOINT: the adapter is damaged, was trained on another model, or is of a kind that is not supported. UNKNOWN_MODEL: it was
    /// not found.
    /// </exception>
    /// <example><code>
    /// var tuned = llm.WithAdapter("./my-lora");
    /// var logits = await tuned.TraceAsync("Hello", t => tuned.Logits.Save());
    /// </code></example>
    public LanguageModel WithAdapter(string adapter) => WithEdits(CloneWithoutEdits(), LoraEdits.Read(this, adapter));

    private LanguageModel CloneWithoutEdits() =>
        ShareWith(new LanguageModel(
            Id, Revision, DefaultBackend, new(Rename), null, LocalModel.Dtype, LocalModel.Adapter, LocalModel.EightBit, LocalModel.Device));
}
