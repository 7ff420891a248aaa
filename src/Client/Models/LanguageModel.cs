using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Remote;
using Ndif.Running;
using Ndif.Tokenizers;

namespace Ndif;

/// <summary>
/// A causal language model by its Hugging Face id, a folder, or a name of the service. Nothing is loaded until the first local
/// run; a remote run loads nothing here.
/// </summary>
/// <param name="id">"openai-community/gpt2", a path, or a served model's name.</param>
/// <param name="revision">A branch, tag or commit; the default one if empty.</param>
/// <param name="remote">Where its traces run unless they say otherwise.</param>
/// <param name="rename">
/// Other names of modules: <c>new() { ["mlp"] = "feed_forward", ["transformer.h"] = ["layers", "blocks"] }</c>. A name alone renames every
/// module called so; a path puts one module under the new name at the root. The old names stay.
/// </param>
/// <param name="edits">A file of edits to begin with; see <see cref="TracedModel.ImportEdits"/>.</param>
/// <param name="dtype">
/// The element type to load the weights in: <see cref="DType.Float32"/>, <see cref="DType.BFloat16"/> or <see cref="DType.Float16"/>; the checkpoint's own if not
/// given. Like the next three it is for runs in this process: the service has loaded its models, and refuses.
/// </param>
/// <param name="adapter">A LoRA adapter in PEFT's format, a folder or an id on the hub, that is merged into the weights when they are loaded.</param>
/// <param name="eightBit">Keep the weights of linear layers in eight bits: about a quarter of float32's memory, slower, and a little off.</param>
/// <param name="device">Where the weights go: "cpu", "cuda", "cuda:1"; several, "cuda:0,cuda:1", share the layers of a model that is too large for one.</param>
public sealed class LanguageModel(string id, string revision = "", Backend? remote = null, Dictionary<string, Aliases>? rename = null, string? edits = null,
    DType? dtype = null, string? adapter = null, bool eightBit = false, string device = "cpu")
    : TracedModel(rename, edits)
{
    private HuggingFaceTokenizer? _tokenizer;

    public string Id { get; } = id;

    public string Revision { get; } = revision;

    /// <summary>How it is loaded in this process.</summary>
    private LocalModel LocalModel { get; } = new(id, revision, dtype, adapter, eightBit, device);

    protected internal override ModelRef Reference { get; } = new() { Id = id, Revision = revision };

    /// <summary>The model's own tokenizer.</summary>
    public HuggingFaceTokenizer Tokenizer => _tokenizer ??= LoadTokenizer();

    /// <summary>The token embedding, whatever its name.</summary>
    public Envoy Embed => Find(Description.Names.Embed);

    /// <summary>The decoder layers.</summary>
    public Envoy Layers => Find(Description.Names.Layers);

    /// <summary>The norm before the output projection.</summary>
    public Envoy FinalNorm => Find(Description.Names.FinalNorm);

    /// <summary>The output projection.</summary>
    public Envoy LmHead => Find(Description.Names.LmHead);

    /// <summary>What the model says of each next token: the last value of a pass, after the output projection and what an architecture does to it. [batch, seq, vocab]</summary>
    public Value Logits => Output["logits"];

    /// <summary>
    /// Opens a trace over one forward pass. <paramref name="prompt"/> is a text, several texts, token ids (<c>int[]</c>,
    /// <c>long[]</c>, or several rows of them), or a tensor of ids [batch, seq]; with none, each
    /// <see cref="Trace.Invoke(object)"/> brings its own.
    /// </summary>
    /// <param name="remote">True: on the service. See <see cref="Backend"/>.</param>
    /// <param name="grad">Allow gradients.</param>
    /// <param name="inputIds">Token ids in place of a prompt, in any of its forms.</param>
    /// <param name="attentionMask">0 where a token is padding; the shape of the ids.</param>
    public Trace Trace(object? prompt = null, Backend? remote = null, bool grad = false, object? inputIds = null, object? attentionMask = null) =>
        Open(PromptConverter.Combine(prompt, inputIds, attentionMask), Mode.Forward, BackendOrDefault(remote), grad, null);

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
    /// <example><code>using var t = llm.Generate("Hello", maxNewTokens: 5, new() { Temperature = 0.7, TopP = 0.9, Seed = 1 });</code></example>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: an option is out of its bounds; the message names it.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A count is negative.</exception>
    public Trace Generate(
        object? prompt = null, int? maxNewTokens = null, GenerationOptions? options = null, Backend? remote = null,
        object? inputIds = null, object? attentionMask = null)
    {
        options ??= new GenerationOptions();
        if (maxNewTokens is not null) options = options with { MaxNewTokens = maxNewTokens };
        Generation generation = options.ToProto();
        GenerationOptionsValidator.Validate(generation);
        return Open(PromptConverter.Combine(prompt, inputIds, attentionMask), Mode.Generate, BackendOrDefault(remote), false, generation);
    }

    /// <summary>How this model generates where a call of <see cref="Generate"/> does not say: what its files say.</summary>
    public GenerationDefaults GenerationDefaults => field ??= GenerationDefaults.FromModel(Description);

    /// <summary>
    /// A generation's own sites: <c>Generator.Output</c> is its result, <c>Generator.Streamer.Output</c> first the prompts' ids and then each
    /// new token [batch], which can be replaced: what is put there is what the row goes on with.
    /// </summary>
    public GeneratorEnvoy Generator => new(this);

    /// <summary>New tokens of a row where a call does not say.</summary>
    internal int MaxNewTokens => GenerationDefaults.Options is { HasMaxNewTokens: true } file ? (int)file.MaxNewTokens : GenerationDefaults.DefaultMaxNewTokens;

    private protected override Envoy Find(string path) => path switch
    {
        GeneratorSites.Generator => Generator,
        GeneratorSites.Streamer => Generator.Streamer,
        _ => base.Find(path),
    };

    /// <summary>The tree, as PyTorch prints it, with the generation's own sites as nnsight shows them.</summary>
    public override string ToString()
    {
        ModuleInfo root = Info.Clone();
        root.Children.Add(GeneratorSites.Info);
        return ModulePrinter.Print(root, Path, Aliases.Label);
    }

    /// <summary>
    /// Opens a trace that infers shapes and computes nothing: no weights are loaded. Save shapes: <c>h[0].Hidden.Shape.Save()</c>. Runs
    /// in this process.
    /// </summary>
    public Trace Scan(object prompt) => Open(prompt, Mode.Scan, Backend.Local, false, null);

    /// <summary>True once its weights are in this process. Neither scans nor remote runs load them.</summary>
    public bool IsLoaded => LocalRuntime.TryGet()?.Open(LocalModel) is ILoadableRunner { IsLoaded: true };

    /// <summary>Loads the weights into this process, if they are not there yet: before the first local run, which would do it.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL or BAD_CHECKPOINT; UNSUPPORTED where no engine is installed.</exception>
    public Task LoadAsync(CancellationToken cancellationToken = default) =>
        LocalRuntime.Get().Open(LocalModel) is ILoadableRunner runner ? runner.LoadAsync(cancellationToken) : Task.CompletedTask;

    /// <summary>The model's plain forward pass, without an experiment: what it returns, <c>["logits"]</c> [batch, seq, vocab]. Edits of the model count.</summary>
    public async Task<Saved> ForwardAsync(object? prompt = null, Backend? remote = null, object? inputIds = null, object? attentionMask = null, CancellationToken cancellationToken = default)
    {
        using Trace trace = Trace(prompt, remote, inputIds: inputIds, attentionMask: attentionMask);
        Saved output = trace.Result.Save();
        await trace.RunAsync(cancellationToken);
        return output;
    }

    /// <summary><see cref="ForwardAsync"/> for scripts that do not await.</summary>
    public Saved Forward(object? prompt = null, Backend? remote = null, object? inputIds = null, object? attentionMask = null) =>
        ForwardAsync(prompt, remote, inputIds, attentionMask).GetAwaiter().GetResult();

    /// <summary>Records what <paramref name="experiment"/> does in a trace on the prompt, runs it, and gives back what it returned, filled.</summary>
    /// <example><code>var (hidden, logits) = await llm.TraceAsync("Hello", t => (llm.Layers[^1].Hidden.Save(), llm.Logits.Save()));</code></example>
    public Task<T> TraceAsync<T>(object prompt, Func<Trace, T> experiment, Backend? remote = null, bool grad = false, CancellationToken cancellationToken = default) =>
        RecordAndRunAsync(Trace(prompt, remote, grad), experiment, cancellationToken);

    /// <summary>
    /// A persistent edit: what <paramref name="edit"/> does happens in every later trace, on each prompt, before what the trace itself
    /// records. Nothing runs now; the edit is recorded anew with each trace.
    /// </summary>
    /// <param name="inPlace">Change this model instead of giving back an edited one that shares its weights.</param>
    /// <example><code>var edited = llm.Edit(() => llm.Layers[^1].Hidden[.., ^1] = parisHidden.Tensor);</code></example>
    public LanguageModel Edit(Action edit, bool inPlace = false)
    {
        LanguageModel edited = inPlace ? this : new LanguageModel(Id, Revision, DefaultBackend, new(Rename), null, LocalModel.Dtype, LocalModel.Adapter, LocalModel.EightBit, LocalModel.Device) { _tokenizer = _tokenizer };
        if (!inPlace) edited.ShareTree(this);
        edited.AddEdit(inPlace ? null : this, edit);
        return edited;
    }

    /// <summary>
    /// A model with a LoRA adapter attached: this one's weights, and persistent edits that add what the adapter adds, in every pass of every
    /// later trace. The service needs to know nothing of the adapter; its matrices travel with the trace, large ones once. Traces with
    /// different adapters, and with none, share passes.
    /// </summary>
    /// <param name="adapter">In PEFT's format: a folder, or an id on the hub. The engine, which reads it, must be in this program.</param>
    /// <remarks>forward in peft/tuners/lora/layer.py. To merge an adapter into weights that are loaded here, open the model with <c>adapter:</c>.</remarks>
    /// <exception cref="NdifException">BAD_CHECKPOINT: it is damaged, another model's, or of a kind that is not supported. UNKNOWN_MODEL: it was not found.</exception>
    /// <example><code>var tuned = llm.WithAdapter("./my-lora"); string answer = await tuned.AskAsync("Hello");</code></example>
    public LanguageModel WithAdapter(string adapter) => LoraEdits.Apply(this, adapter);

    /// <summary>Opens a session: several traces as one job, with values flowing between them.</summary>
    public Session Session(Backend? remote = null) => new(this, remote ?? DefaultBackend);

    private Backend? DefaultBackend { get; } = remote;

    private Backend? BackendOrDefault(Backend? remote) => remote ?? (Recording.Recorder.Ambient is null ? DefaultBackend : null);

    protected override ModelDescription Describe()
    {
        Exception? local = null;
        if (DefaultBackend is not { Kind: BackendKind.Remote } && LocalRuntime.TryGet() is { } runtime)
        {
            try
            {
                return runtime.Describe(LocalModel);
            }
            catch (NdifException e) when (e.Code is ErrorCode.UnknownModel or ErrorCode.PermissionDenied or ErrorCode.DownloadFailed)
            {
                local = e;
            }
        }
        try
        {
            return RemoteService.For(DefaultBackend).Describe(Id, Revision);
        }
        catch (NdifException e) when (local is not null && e.Code is ErrorCode.Unavailable or ErrorCode.Unauthenticated)
        {
            throw Errors.CreateException(((NdifException)local!).Code, $"{((NdifException)local).Error.Message} And the service could not be asked: {e.Error.Message}",
                ((NdifException)local).Error.Hint, inner: e);
        }
    }

    protected internal override IProgramRunner RunnerFor(Backend backend) => backend.Kind switch
    {
        BackendKind.Remote => LocalModel.HasDefaultLoadOptions ? RemoteService.For(backend, ServedDescription)
            : throw Errors.CreateException(ErrorCode.BadArgument, $"`{Id}` was opened with dtype, adapter, eightBit or device, which say how weights are loaded in this process; the service has loaded its own.",
                "Run it here, or open the model without them for remote runs."),
        BackendKind.Loopback => new LoopbackRunner(LocalRuntime.Get().Open(LocalModel)),
        _ => LocalRuntime.Get().Open(LocalModel),
    };

    protected internal override void WriteInput(object input, Input destination, Func<object?, Argument> argument) => PromptConverter.WriteTo(input, destination, argument);

    private HuggingFaceTokenizer LoadTokenizer()
    {
        if (!Description.Files.TryGetValue("tokenizer.json", out var json))
            throw Errors.CreateException(ErrorCode.BadTokenizer, $"`{Id}` comes without a tokenizer.json.", "Pass token ids instead of texts.");
        Description.Files.TryGetValue("tokenizer_config.json", out var config);
        Description.Files.TryGetValue("chat_template.jinja", out var chat);
        return HuggingFaceTokenizer.FromJson(json.Memory, config?.Memory ?? default, chat?.Memory ?? default);
    }
}
