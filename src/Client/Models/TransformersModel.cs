using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Remote;
using Ndif.Running;
using Ndif.Tokenizers;

namespace Ndif;

/// <summary>
/// A model of Hugging Face's transformers with its tokenizer, named by its id, a folder, or a name of the service. Nothing is loaded before
/// the first local run; a remote run loads nothing into this process.
/// </summary>
public abstract partial class TransformersModel : TracedModel
{
    private HuggingFaceTokenizer? _tokenizer;

    private protected TransformersModel(LocalModel local, Backend? remote, Dictionary<string, Aliases>? rename, string? edits) :
        base(rename, edits)
    {
        (LocalModel, DefaultBackend) = (local, remote);
        Reference = new ModelRef { Id = local.Id, Revision = local.Revision };
    }

    /// <summary>The id, path or name under which the model was opened.</summary>
    public string Id => LocalModel.Id;

    /// <summary>The branch, tag or commit; empty for the default branch.</summary>
    public string Revision => LocalModel.Revision;

    /// <summary>The model and the options with which this process loads it.</summary>
    private protected LocalModel LocalModel { get; }

    /// <inheritdoc/>
    protected internal override ModelRef Reference { get; }

    /// <summary>The tokenizer of the model.</summary>
    /// <exception cref="CheckpointException">BAD_TOKENIZER: the model has no tokenizer, or one that cannot be read.</exception>
    public HuggingFaceTokenizer Tokenizer => _tokenizer ??= ModelTokenizer.Read(Description);

    /// <summary>What the model gives for its input.</summary>
    public ModelTask ModelTask => Description.Task;

    /// <summary>Whether a task is one of this class.</summary>
    private protected abstract bool Accepts(ModelTask task);

    /// <summary>The class for the other tasks.</summary>
    private protected abstract string ClassForOtherTasks { get; }

    /// <summary>The token embedding, whatever its name.</summary>
    public Envoy Embed => FindStandardModule(Description.Names.Embed, "token embedding");

    /// <summary>The layers, a module list.</summary>
    public Envoy Layers => Find(Description.Names.Layers);

    /// <summary>
    /// The sizes of the model under names that are the same on every architecture: <c>llm.Config.Heads</c>. Weights are not needed.
    /// </summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or UNAVAILABLE: the model cannot be described.</exception>
    public ModelConfig Config => field ??= new(Description);

    /// <summary>The token embedding: a row for each token. A copy of the weight. [vocab, hidden]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value WE => Embed.Parameter("weight");

    /// <summary>
    /// Opens a trace over one forward pass.
    /// </summary>
    /// <param name="prompt">
    /// A text, several texts, a pair of texts (<c>("first", "second")</c>) or several, a conversation (<see cref="ChatMessage"/>s, for the
    /// model's chat template) or several, token ids (<c>int[]</c>, <c>long[]</c>, or several rows of them), a tensor of ids
    /// [batch, seq], or a <see cref="TokenInput"/>; null if each <see cref="Trace.Invoke(object)"/> has its own.
    /// </param>
    /// <param name="remote">True: on the service. See <see cref="Backend"/>.</param>
    /// <param name="grad">Whether gradients can be computed.</param>
    /// <param name="inputIds">Token ids instead of a prompt, in any of its forms.</param>
    /// <param name="attentionMask">0 where a token is padding; the shape of the ids.</param>
    /// <param name="decoderInputIds">
    /// Of an encoder-decoder, whose encoder reads the prompt: the tokens of the decoder [batch, seq]; null for the one that it starts with.
    /// </param>
    public Trace Trace(
        object? prompt = null, Backend? remote = null, bool grad = false, object? inputIds = null, object? attentionMask = null,
        object? decoderInputIds = null) =>
        Open(PromptConverter.Combine(prompt, inputIds, attentionMask, decoderInputIds: decoderInputIds), Mode.Forward,
            BackendOrDefault(remote), grad, null);

    /// <summary>
    /// Opens a trace that infers shapes without computing values or loading weights. Save shapes: <c>h[0].Hidden.Shape.Save()</c>. It runs
    /// in this process.
    /// </summary>
    public Trace Scan(object prompt) => Open(prompt, Mode.Scan, Backend.Local, false, null);

    /// <summary>True once the weights are loaded in this process. Neither scans nor remote runs load them.</summary>
    public bool IsLoaded => LocalRuntime.TryGet()?.Open(LocalModel) is ILoadableRunner { IsLoaded: true };

    /// <summary>Loads the weights into this process if they are not loaded yet. Otherwise the first local run does it.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL or BAD_CHECKPOINT; UNSUPPORTED where no engine is installed.</exception>
    public Task LoadAsync(CancellationToken cancellationToken = default) =>
        LocalRuntime.Get().Open(LocalModel) is ILoadableRunner runner ? runner.LoadAsync(cancellationToken) : Task.CompletedTask;

    /// <summary>
    /// Runs one forward pass without an experiment, but with the model's edits, and returns its output: <c>["logits"]</c> [batch, seq,
    /// vocab], or what the model's task gives.
    /// </summary>
    /// <inheritdoc cref="Trace"/>
    public async Task<Saved> ForwardAsync(
        object? prompt = null, Backend? remote = null, object? inputIds = null, object? attentionMask = null,
        CancellationToken cancellationToken = default)
    {
        using Trace trace = Trace(prompt, remote, inputIds: inputIds, attentionMask: attentionMask);
        Saved output = trace.Result.Save();
        await trace.RunAsync(cancellationToken);
        return output;
    }

    /// <summary><see cref="ForwardAsync"/> for scripts without await.</summary>
    public Saved Forward(object? prompt = null, Backend? remote = null, object? inputIds = null, object? attentionMask = null) =>
        ForwardAsync(prompt, remote, inputIds, attentionMask).GetAwaiter().GetResult();

    /// <summary>
    /// Records the experiment in a trace on the prompt, runs it, and returns the experiment's result, whose saved values have results.
    /// </summary>
    /// <example><code>
    /// var (hidden, logits) = await llm.TraceAsync("Hello", t => (llm.Layers[^1].Hidden.Save(), llm.Logits.Save()));
    /// </code></example>
    public Task<T> TraceAsync<T>(
        object prompt, Func<Trace, T> experiment, Backend? remote = null, bool grad = false,
        CancellationToken cancellationToken = default) =>
        RecordAndRunAsync(Trace(prompt, remote, grad), experiment, cancellationToken);

    /// <summary>Opens a session: several traces as one job, which can use each other's values.</summary>
    /// <param name="remote">True: on the service. See <see cref="Backend"/>.</param>
    public Session Session(Backend? remote = null) => new(this, remote ?? DefaultBackend);

    private protected Backend? DefaultBackend { get; }

    private protected Backend? BackendOrDefault(Backend? remote) => remote ?? (Recording.Recorder.Ambient is null ? DefaultBackend : null);

    /// <summary>Adds the edits of this model, and then others, to a model without edits.</summary>
    private protected T WithEdits<T>(T clone, IEnumerable<PersistentEdit> edits) where T : TransformersModel
    {
        foreach (PersistentEdit edit in Edits.Concat(edits)) clone.AddEdit(null, edit);
        return clone;
    }

    /// <summary>Makes a model without edits share the tree and the tokenizer of this one.</summary>
    private protected T ShareWith<T>(T clone) where T : TransformersModel
    {
        clone._tokenizer = _tokenizer;
        clone.ShareTree(this);
        return clone;
    }

    /// <inheritdoc/>
    protected override ModelDescription Describe()
    {
        ModelDescription description = FindDescription();
        return Accepts(description.Task) ? description : throw Errors.CreateException(ErrorCode.BadArgument,
            $"`{Id}` is a {description.Architecture}; its task is {description.Task.ToName()}.",
            $"Open it with new {ClassForOtherTasks}(\"{Id}\").");
    }

    private ModelDescription FindDescription()
    {
        NdifException? local = null;
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
            throw Errors.CreateException(
                local!.Code, $"{local.Error.Message} And the service could not be asked: {e.Error.Message}", local.Error.Hint, inner: e);
        }
    }

    /// <inheritdoc/>
    protected internal override IProgramRunner RunnerFor(Backend backend) => backend.Kind switch
    {
        BackendKind.Remote => LocalModel.HasDefaultLoadOptions ? RemoteService.For(backend, ServedDescription)
            : throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{Id}` was opened with dtype, adapter, eightBit or device, which say how weights are loaded in this process; "
                    + "the service has loaded its own.",
                "Run it here, or open the model without them for remote runs."),
        BackendKind.Loopback => new LoopbackRunner(LocalRuntime.Get().Open(LocalModel)),
        _ => LocalRuntime.Get().Open(LocalModel),
    };

    /// <inheritdoc/>
    protected internal override void WriteInput(object input, Input destination, Func<object?, Argument> argument) =>
        PromptConverter.WriteTo(ToTokens(input), destination, argument,
            () => ModelTokenizer.IsIn(Description) ? Tokenizer.Encode("").Count : 0);

    /// <summary>The token ids of a conversation, or of several; every other input as it is.</summary>
    private object ToTokens(object input) => input switch
    {
        IEnumerable<ChatMessage> messages => EncodeChat(messages),
        IEnumerable<IEnumerable<ChatMessage>> conversations => conversations.Select(EncodeChat).ToArray(),
        _ => input,
    };

    private int[] EncodeChat(IEnumerable<ChatMessage> messages)
    {
        ChatMessage[] conversation = [.. messages];
        if (conversation.Length == 0)
            throw Errors.CreateException(ErrorCode.BadInput, "The conversation has no messages.", "Pass at least one message of the user.");
        return [.. Tokenizer.EncodeChat(conversation, addGenerationPrompt: conversation[^1].Role != "assistant")];
    }
}
