using System.Collections;
using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A module of a model. Inside a trace, its <see cref="Output"/> and <see cref="Input"/> can be read, edited in place
/// (<c>Output[.., 0] = 0</c>) and replaced (<c>Output = value</c>). Its submodules are reached by path, by name and, in a module list, by
/// number.
/// </summary>
public partial class Envoy : IReadOnlyList<Envoy>
{
    private readonly TracedModel? _model;
    private readonly ModuleInfo? _info;

    internal Envoy(TracedModel model, string path, ModuleInfo info) => (_model, Path, _info) = (model, path, info);

    /// <summary>The root, whose description is fetched when it is first needed.</summary>
    private protected Envoy() => Path = "";

    internal TracedModel Model => _model ?? (TracedModel)this;

    private protected virtual ModuleInfo Info => _info!;

    /// <summary>The path of the module in the tree, such as "transformer.h.0.attn". The path of the root is empty.</summary>
    public string Path { get; }

    /// <summary>The value that the module returns: a tensor, or a tuple. [batch, seq, ...]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Output
    {
        get => Site(".Output").Read(SiteKind.Output);
        set => Site(".Output").Write(SiteKind.Output, value);
    }

    /// <summary>The module's first argument. [batch, seq, ...]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Input
    {
        get => Site(".Input").Read(SiteKind.Input);
        set => Site(".Input").Write(SiteKind.Input, value);
    }

    /// <summary>All arguments of the module: positional ones and keywords.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Inputs Inputs
    {
        get => Site(".Inputs").ReadInputs();
        set => Site(".Inputs").Write(SiteKind.Inputs, value);
    }

    /// <summary>
    /// The hidden state that the module returns: its output, or the first tensor of an output that is a tuple, such as a decoder layer's.
    /// The name is the same on every architecture. [batch, seq, hidden]
    /// </summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Hidden
    {
        get => Site(".Hidden").Read(SiteKind.Hidden);
        set => Site(".Hidden").Write(SiteKind.Hidden, value);
    }

    /// <summary>The attention module of a decoder layer, whatever its name.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the architecture has no standard name for it.</exception>
    public Envoy Attn => FindStandardModule(Model.Description.Names.Attention, "attention");

    /// <summary>The attention of a decoder's layer to the encoder's output, whatever its name.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the architecture has no such module.</exception>
    public Envoy CrossAttn => FindStandardModule(Model.Description.Names.CrossAttention, "cross attention");

    /// <summary>The feed-forward module of a layer, whatever its name.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the architecture has no standard name for it.</exception>
    public Envoy Mlp
    {
        get
        {
            Protocol.StandardNames names = Model.Description.Names;
            bool isOfEncoder = names.EncoderMlp.Length > 0 && Path.StartsWith($"{names.EncoderLayers}.", StringComparison.Ordinal);
            return FindStandardModule(isOfEncoder ? names.EncoderMlp : names.Mlp, "mlp");
        }
    }

    /// <summary>
    /// The experts of a feed-forward module: <c>llm.Layers[2].Mlp.Experts[3]</c>. The input and the output of an expert are those of its
    /// own tokens, [routed, hidden], in the order of their rows and positions; the output is not yet multiplied by the router's weights.
    /// </summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the module has no experts.</exception>
    public Envoy Experts => Find("experts");

    /// <summary>
    /// The tokens that are routed to this expert, by their position in [batch · seq] of the invoke: the position in the prompt if it has
    /// one. Padding is not among them. They can be read, not replaced. [routed] int64
    /// </summary>
    /// <exception cref="BadProgramException">UNSUPPORTED: the module is not an expert.</exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Tokens => IsExpert(Info) ? Site(".Tokens").ReadInputs().Args[1]
        : throw Errors.CreateException(ErrorCode.Unsupported, $"`{Display}` is a {Info.ClassName}, not an expert, so it has no tokens.",
            "The experts of a layer are at Mlp.Experts[0], Mlp.Experts[1] and so on.", Path);

    /// <summary>The source code of the module's forward, and the operations inside it.</summary>
    /// <exception cref="BadProgramException">UNSUPPORTED: the module is not part of one of this library's models.</exception>
    public Source Source => new(Model, Path, Info, Model.Description.GetSource(Info, Path));

    /// <summary>
    /// The attention probabilities of a layer or of its attention, on every architecture. A change affects the layer's output.
    /// [batch, heads, seq, kvSeq]
    /// </summary>
    public Value AttentionProbabilities
    {
        get => AttentionSource["probs"].Output;
        set => AttentionSource["probs"].Output = value;
    }

    /// <summary>A submodule by its path relative to this module.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: there is none; the message names the most similar.</exception>
    [IndexerName("At")]
    public Envoy this[string path] => Find(path);

    /// <summary>A module of a module list, or one of the experts of a layer; <c>[^1]</c> is the last.</summary>
    /// <exception cref="IndexOutOfRangeException">The list has fewer modules, or the module is not a list.</exception>
    [IndexerName("At")]
    public Envoy this[Index index]
    {
        get
        {
            int offset = index.GetOffset(Count);
            bool isList = Info.List || Info.Children.Any(IsExpert);
            if (!isList || offset < 0 || offset >= Count)
                throw Errors.CreateException(ErrorCode.IndexOutOfRange, isList
                    ? $"Index {index} is out of range: `{Display}` has {Count} modules."
                    : $"`{Display}` is a {Info.ClassName}, not a list of modules; reach its submodules by name: "
                        + $"{string.Join(", ", Info.Children.Select(child => child.Name))}.",
                    module: Path);
            return Child(Items.ElementAt(offset));
        }
    }

    Envoy IReadOnlyList<Envoy>.this[int index] => this[index];

    /// <summary>The number of modules of a list, of experts, or of submodules.</summary>
    public int Count => Items.Count();

    /// <summary>
    /// This module at its next call, or a later one: <c>llm.LmHead.Next().Output</c>. Everything that follows refers to that call too,
    /// until the open invoke, step or branch ends.
    /// </summary>
    /// <param name="calls">The number of calls to advance.</param>
    public Envoy Next(int calls = 1)
    {
        RequireRecorder(".Next").Advance(calls);
        return this;
    }

    /// <summary>All calls of modules; the same as <see cref="Trace.All"/>.</summary>
    public IEnumerable<int> All() => RequireRecorder(".All").Scopes.OfType<Trace>().FirstOrDefault()?.All()
        ?? throw new InvalidOperationException(
            $"Cannot access `{Display}.All` outside of a trace: {Recorder.HowToOpen}");

    /// <summary>Uses a value as the module's output instead of running the module.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public void Skip(Value value) => Site(".Skip").Skip(value);

    /// <summary>
    /// Runs the module on values of the experiment, apart from the model's own pass, as the logit lens does:
    /// <c>llm.LmHead.Call(llm.FinalNorm.Call(hidden))</c>. Such a call is not visible at the sites of the module, except for a module that
    /// the user attached. An adapter of the model (<see cref="LanguageModel.WithAdapter"/>) is part of its modules, and so of the call;
    /// other edits are not.
    /// </summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Call(params Value[] arguments)
    {
        Recorder recorder = RequireRecorder(".Call");
        var call = new CallModule { Module = Path, Sites = Model.Attachments.Contains(Path) };
        call.Arguments.AddRange(arguments.Select(recorder.Argument));
        call.Adapters.AddRange(Model.AdaptersIn(Path, recorder).Select(adapter => adapter.RecordForCall(recorder)));
        if (call.Adapters.Count > 0) recorder.RequireFeature(ProgramFormat.Adapters);
        return recorder.Value(new Node { CallModule = call });
    }

    /// <summary>
    /// Adds a module that the user defines to the tree, below this one:
    /// <c>var sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(...))</c>. The model does not call it; an experiment or an edit does
    /// (<c>sae.Call(x)</c>). The caller can then read the sites of the module and its layers; other edits and invokes on the same rows can
    /// read and change them. Attaching a module under the same name again replaces it.
    /// </summary>
    /// <exception cref="InvalidOperationException">The model itself has a module of that name, or this one is a module list.</exception>
    public Envoy Attach(string name, ModuleDefinition definition) => Child(Model.Attachments.Add(Model, Path, Info, name, definition));

    /// <summary>
    /// A copy of a parameter of this module, as the checkpoint stores it: <c>llm.LmHead.Parameter("weight")</c> [vocab, hidden]. A change
    /// of the copy does not change the model. <see cref="WQ"/> and its like have the same shape on every architecture.
    /// </summary>
    /// <exception cref="BadProgramException">UNKNOWN_MODULE: the module has no such parameter.</exception>
    public Value Parameter(string name)
    {
        if (Info.Parameters.All(p => p.Name != name))
            throw Errors.CreateException(ErrorCode.UnknownModule, $"`{Display}` has no parameter `{name}`.",
                Info.Parameters.Count == 0 ? "It has none." : $"It has {string.Join(", ", Info.Parameters.Select(p => $"`{p.Name}`"))}.",
                Path);
        return RequireRecorder(".Parameter").Value(new Node { Parameter = new ReadParameter { Module = Path, Name = name } });
    }

    /// <summary>The submodules in order; of a module with experts the experts alone.</summary>
    public IEnumerator<Envoy> GetEnumerator() => Items.Select(Child).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The tree below this module, as PyTorch prints it.</summary>
    public override string ToString() => ModulePrinter.Print(Info, Path, Model.Aliases.Label);

    private IEnumerable<ModuleInfo> Items => Info.Children.Any(IsExpert) ? Info.Children.Where(IsExpert) : Info.Children;

    private static bool IsExpert(ModuleInfo module) => module.Virtual && module.Children.Count == 0;

    private protected string Display => Path.Length == 0 ? Info.ClassName : Path;

    private protected Envoy FindStandardModule(string name, string what) => name.Length > 0 ? Find(name)
        : throw Errors.CreateException(ErrorCode.UnknownModule, $"This {Model.Description.Architecture} has no {what} of a standard name.",
            "Print the model to see its modules, and reach one by its path: llm[\"path\"].");

    private protected virtual Envoy Find(string path)
    {
        (string Path, ModuleInfo Info) module = (Path, Info);
        foreach (string name in path.Split('.'))
        {
            module = Model.Aliases.ResolveChild(module.Path, module.Info, name) ?? throw Errors.CreateException(ErrorCode.UnknownModule,
                $"`{Display}` has no module `{path}`.", ModulePaths.GetSuggestion(Info, path), Path);
        }
        return new Envoy(Model, module.Path, module.Info);
    }

    private Envoy Child(ModuleInfo child) => new(Model, ModulePaths.Join(Path, child.Name), child);

    private Recorder RequireRecorder(string access)
    {
        Recorder recorder = Recorder.Ambient ?? throw new InvalidOperationException(
            $"Cannot access `{Display}{access}` outside of a trace: {Recorder.HowToOpen}");
        if (!recorder.Program.Model.Equals(Model.Reference))
            throw new InvalidOperationException($"`{Display}` is a module of `{Model.Reference.Id}`, and this trace is of "
                + $"`{recorder.Program.Model.Id}`. In a session, each model has its own traces.");
        Model.Attachments.EnsureDefined(recorder, Path);
        return recorder;
    }

    private SiteRecorder Site(string access) => new(RequireRecorder(access), Path);
}
