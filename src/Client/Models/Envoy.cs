using System.Collections;
using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A module of a model as an experiment sees it: its <see cref="Output"/> and <see cref="Input"/> can be read, edited in place
/// (<c>Output[.., 0] = 0</c>) and replaced (<c>Output = value</c>) inside of a trace; its submodules are reached by path, by
/// name and, in a module list, by number.
/// </summary>
public partial class Envoy : IReadOnlyList<Envoy>
{
    private readonly TracedModel? _model;
    private readonly ModuleInfo? _info;

    internal Envoy(TracedModel model, string path, ModuleInfo info) => (_model, Path, _info) = (model, path, info);

    /// <summary>For the root, which finds its description when it is first needed.</summary>
    private protected Envoy() => Path = "";

    private TracedModel Model => _model ?? (TracedModel)this;

    private protected virtual ModuleInfo Info => _info!;

    /// <summary>Where the module stands in the tree: "transformer.h.0.attn". The root's is empty.</summary>
    public string Path { get; }

    /// <summary>What the module returns: a tensor, or a tuple. [batch, seq, ...]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Output
    {
        get => Read(SiteKind.Output);
        set => Write(SiteKind.Output, value);
    }

    /// <summary>The module's first argument.</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value Input
    {
        get => Read(SiteKind.Input);
        set => Write(SiteKind.Input, value);
    }

    /// <summary>All arguments, positional ones and keywords.</summary>
    public Inputs Inputs
    {
        get
        {
            Recorder recorder = RequireRecorder(".Inputs");
            return new Inputs(recorder, recorder.Add(new Node { Read = new ReadSite { Site = Site(SiteKind.Inputs), Call = recorder.CurrentCall } }));
        }
        set => Write(SiteKind.Inputs, value);
    }

    /// <summary>
    /// The module's hidden state: its output, or the first tensor of it where it is a tuple, as a decoder layer's. The same on
    /// every architecture. [batch, seq, hidden]
    /// </summary>
    public Value Hidden
    {
        get => Read(SiteKind.Hidden);
        set => Write(SiteKind.Hidden, value);
    }

    /// <summary>The attention of a decoder layer, whatever its name.</summary>
    public Envoy Attn => FindStandardModule(Model.Description.Names.Attention, "attention");

    /// <summary>The feed-forward part of a decoder layer, whatever its name.</summary>
    public Envoy Mlp => FindStandardModule(Model.Description.Names.Mlp, "mlp");

    /// <summary>The code of the module's forward, and the operations inside of it.</summary>
    /// <exception cref="BadProgramException">The module is none of this library's own models.</exception>
    public Source Source => new(Model, Path, Info, Model.Description.GetSource(Info, Path));

    /// <summary>
    /// How much each token of a decoder layer attends to each, on every architecture; changed, it is what the layer mixes its values by.
    /// [batch, heads, seq, kvSeq]
    /// </summary>
    public Value AttentionProbabilities
    {
        get => Attn.Source["probs"].Output;
        set => Attn.Source["probs"].Output = value;
    }

    /// <summary>A submodule by its path from here.</summary>
    /// <exception cref="BadProgramException">There is none; the message names the nearest.</exception>
    [IndexerName("At")]
    public Envoy this[string path] => Find(path);

    /// <summary>An entry of a module list; <c>[^1]</c> is the last.</summary>
    [IndexerName("At")]
    public Envoy this[Index index]
    {
        get
        {
            int offset = index.GetOffset(Count);
            if (!Info.List || offset < 0 || offset >= Count)
                throw Errors.CreateException(ErrorCode.IndexOutOfRange, Info.List
                    ? $"Index {index} is out of range: `{Display}` has {Count} modules."
                    : $"`{Display}` is a {Info.ClassName}, not a list of modules; reach its submodules by name: {string.Join(", ", Info.Children.Select(c => c.Name))}.",
                    module: Path);
            return Child(Info.Children[offset]);
        }
    }

    Envoy IReadOnlyList<Envoy>.this[int index] => this[index];

    /// <summary>Number of modules in a list; of submodules otherwise.</summary>
    public int Count => Info.Children.Count;

    /// <summary>
    /// This module at its next call (or a later one): <c>llm.LmHead.Next().Output</c>. What is accessed after it is of that call too, until
    /// the invoke, step or branch that is open ends.
    /// </summary>
    /// <param name="calls">How many calls further.</param>
    public Envoy Next(int calls = 1)
    {
        RequireRecorder(".Next").Advance(calls);
        return this;
    }

    /// <summary>All calls of modules, as <see cref="Trace.All"/>.</summary>
    public IEnumerable<int> All() => RequireRecorder(".All").Scopes.OfType<Trace>().FirstOrDefault()?.All()
        ?? throw new InvalidOperationException($"Cannot access `{Display}.All` outside of a trace: open one with `using var t = model.Trace(...)`.");

    /// <summary>Gives the module's output without running it.</summary>
    public void Skip(Value value) =>
        RequireRecorder(".Skip").Add(new Node { Skip = new SkipModule { Module = Path, Call = RequireRecorder("").CurrentCall, Value = RequireRecorder("").Argument(value) } });

    /// <summary>
    /// Runs the module on values of the experiment, beside the model's own pass, as the logit lens does:
    /// <c>llm.LmHead.Call(llm.FinalNorm.Call(hidden))</c>. Its sites do not fire; those of an attached module do.
    /// </summary>
    public Value Call(params Value[] arguments)
    {
        Recorder recorder = RequireRecorder(".Call");
        var call = new CallModule { Module = Path, Sites = Model.Attachments.Contains(Path) };
        call.Arguments.AddRange(arguments.Select(recorder.Argument));
        return recorder.Value(new Node { CallModule = call });
    }

    /// <summary>
    /// Puts a module of the user's own into the tree, below this one: <c>var sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(...))</c>.
    /// The model does not call it by itself: an experiment or an edit does (<c>sae.Call(x)</c>), and then its sites and its layers' are
    /// there: to read for who called it, to read and to change for the edits or invokes beside it. Attaching again replaces it.
    /// </summary>
    /// <exception cref="InvalidOperationException">The model has a module of that name.</exception>
    public Envoy Attach(string name, ModuleDefinition definition) => Child(Model.Attachments.Add(Model, Path, Info, name, definition));

    /// <summary>A parameter of this module, as a copy: <c>llm.LmHead.Parameter("weight")</c>.</summary>
    public Value Parameter(string name)
    {
        if (Info.Parameters.All(p => p.Name != name))
            throw Errors.CreateException(ErrorCode.UnknownModule, $"`{Display}` has no parameter `{name}`.",
                Info.Parameters.Count == 0 ? "It has none." : $"It has {string.Join(", ", Info.Parameters.Select(p => $"`{p.Name}`"))}.", Path);
        return RequireRecorder(".Parameter").Value(new Node { Parameter = new ReadParameter { Module = Path, Name = name } });
    }

    public IEnumerator<Envoy> GetEnumerator() => Info.Children.Select(Child).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The tree below this module, as PyTorch prints it.</summary>
    public override string ToString() => ModulePrinter.Print(Info, Path, Model.Aliases.Label);

    private protected string Display => Path.Length == 0 ? Info.ClassName : Path;

    private Envoy FindStandardModule(string name, string what) => name.Length > 0 ? Find(name)
        : throw Errors.CreateException(ErrorCode.UnknownModule, $"{Model.Description.Architecture} has no standard name for {what}.");

    private protected virtual Envoy Find(string path)
    {
        (string Path, ModuleInfo Info) at = (Path, Info);
        foreach (string name in path.Split('.'))
        {
            at = Model.Aliases.ResolveChild(at.Path, at.Info, name) ?? throw Errors.CreateException(ErrorCode.UnknownModule,
                $"`{Display}` has no module `{path}`.", ModulePaths.GetSuggestion(Info, path), Path);
        }
        return new Envoy(Model, at.Path, at.Info);
    }

    private Envoy Child(ModuleInfo child) => new(Model, Path.Length == 0 ? child.Name : $"{Path}.{child.Name}", child);

    private Recorder RequireRecorder(string access)
    {
        Recorder recorder = Recorder.Ambient ?? throw new InvalidOperationException(
            $"Cannot access `{Display}{access}` outside of a trace: open one with `using var t = model.Trace(...)`.");
        Model.Attachments.EnsureDefined(recorder, Path);
        return recorder;
    }

    private Site Site(SiteKind kind) => new() { Module = Path, Kind = kind };

    private Value Read(SiteKind kind)
    {
        Recorder recorder = RequireRecorder($".{kind}");
        return recorder.Value(new Node { Read = new ReadSite { Site = Site(kind), Call = recorder.CurrentCall } });
    }

    private void Write(SiteKind kind, Value value)
    {
        Recorder recorder = RequireRecorder($".{kind}");
        recorder.Add(new Node { Write = new WriteSite { Site = Site(kind), Call = recorder.CurrentCall, Value = recorder.Argument(value) } });
    }
}

/// <summary>All arguments of a module's call: read, or new ones to replace them.</summary>
/// <example><code>layer.Inputs = new Inputs([hidden], new() { ["attention_mask"] = mask });</code></example>
public sealed class Inputs : Value
{
    private readonly (object Args, object Kwargs)? _new;

    internal Inputs(Recorder recorder, uint node) : base(recorder, node) { }

    /// <param name="kwargs">Those that are not named stay as they are.</param>
    public Inputs(IReadOnlyList<Value> args, Dictionary<string, Value>? kwargs = null) : base(null, 0) =>
        _new = (args, (kwargs ?? []).ToDictionary(k => k.Key, k => (object?)k.Value));

    /// <summary>The positional ones.</summary>
    public Value Args => this[0];

    /// <summary>Those given by name: <c>Kwargs["attention_mask"]</c>.</summary>
    public Value Kwargs => this[1];

    internal override object? AsArgument() => _new is { } inputs ? inputs : this;
}
