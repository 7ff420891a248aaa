using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>A model that can be traced: the root of its tree of <see cref="Envoy"/>s.</summary>
public abstract class TracedModel : Envoy
{
    private readonly List<PersistentEdit> _edits = [];
    private readonly IReadOnlyDictionary<string, Aliases> _rename;
    private AliasMap? _aliases;
    private ModelTree _tree = new();
    private string? _editsFile;

    /// <summary>The base of a model.</summary>
    /// <param name="rename">Other names of modules.</param>
    /// <param name="edits">A file of edits that the model has from the start; it is read when the tree or a trace first needs it.</param>
    protected TracedModel(IReadOnlyDictionary<string, Aliases>? rename = null, string? edits = null)
    {
        _rename = rename ?? new Dictionary<string, Aliases>();
        _editsFile = edits;
    }

    /// <summary>The description of the model, which does not need its weights. It is fetched when it is first needed.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or UNAVAILABLE: the model cannot be described.</exception>
    public ModelDescription Description => _tree.GetDescription(() => Describe().Clone());

    /// <summary>The model as the service knows it, without the user's modules; null if nothing has asked for the description yet.</summary>
    private protected ModelDescription? ServedDescription => _tree.Description is { } known ? Attachments.RemoveFrom(known) : null;

    private protected override ModuleInfo Info
    {
        get
        {
            _ = Edits; // a file of edits can attach modules
            return Description.Root;
        }
    }

    /// <summary>Other names of its modules, as passed to the constructor.</summary>
    protected IReadOnlyDictionary<string, Aliases> Rename => _rename;

    internal AliasMap Aliases => _aliases ??= new AliasMap(Description.Root, _rename);

    /// <summary>The modules that the user attached to its tree.</summary>
    internal Attachments Attachments => _tree.Attachments;

    /// <summary>Shares the tree of another model, including modules that are attached to it later.</summary>
    protected void ShareTree(TracedModel other) => _tree = other._tree;

    /// <summary>The description of a model and the attached modules. Edited models share it.</summary>
    private sealed class ModelTree
    {
        private TaskCompletionSource<ModelDescription>? _describing;

        public ModelDescription? Description => _describing?.Task is { IsCompletedSuccessfully: true } described ? described.Result : null;

        /// <summary>
        /// The first thread that asks describes the model, and others wait for it. They wait for a task and not for a lock: the thread pool
        /// adds threads for those that wait for a task, and the first one needs some for its connection.
        /// </summary>
        public ModelDescription GetDescription(Func<ModelDescription> describe)
        {
            var own = new TaskCompletionSource<ModelDescription>();
            if (Interlocked.CompareExchange(ref _describing, own, null) is { } other) return other.Task.GetAwaiter().GetResult();
            try
            {
                own.SetResult(describe());
            }
            catch (Exception e)
            {
                _describing = null; // the next access tries again
                own.SetException(e);
                _ = own.Task.Exception; // observed, also if no other thread waits
                throw;
            }
            return own.Task.Result;
        }

        public Attachments Attachments { get; } = new();
    }

    /// <summary>The persistent edits, which every trace applies to each of its prompts.</summary>
    internal IReadOnlyList<PersistentEdit> Edits
    {
        get
        {
            if (_editsFile is not { } file) return _edits;
            _editsFile = null;
            try
            {
                _edits.AddRange(EditsFile.Read(this, file));
            }
            catch
            {
                _editsFile = file; // the next access reports the error again
                throw;
            }
            return _edits;
        }
    }

    /// <summary>
    /// What adapters change in a call of a module: those of this model or, if it has none, those of the model whose trace is recorded, as a
    /// site has the value of that model.
    /// </summary>
    internal IReadOnlyList<ModuleAdapter> AdaptersIn(string path, Recorder recorder)
    {
        IEnumerable<ModuleAdapter> own = Edits.Select(edit => edit.Adapter).OfType<ModuleAdapter>();
        TracedModel? traced = recorder.Scopes.Select(scope => scope is Trace trace ? trace.Model : scope as TracedModel)
            .FirstOrDefault(model => model is not null);
        if (!own.Any() && traced is not null) own = traced.Edits.Select(edit => edit.Adapter).OfType<ModuleAdapter>();
        return [.. own.Where(adapter => adapter.IsIn(path))];
    }

    /// <summary>Removes all persistent edits of this model.</summary>
    public void ClearEdits()
    {
        _editsFile = null;
        _edits.Clear();
    }

    /// <summary>Adds a persistent edit to this model, after the edits of the model from which it derives.</summary>
    protected void AddEdit(TracedModel? inherited, Action edit) => AddEdit(inherited, new PersistentEdit(edit));

    /// <summary>Adds a persistent edit, which can be a part of a module.</summary>
    private protected void AddEdit(TracedModel? inherited, PersistentEdit edit)
    {
        _ = Edits; // the edits of a file come first
        if (inherited is not null) _edits.AddRange(inherited.Edits);
        _edits.Add(edit);
    }

    /// <summary>
    /// Writes this model's edits to a file: the programs that they record, with their constants. Another process reads them with
    /// <see cref="ImportEdits"/> into the same model, whatever its name is there.
    /// </summary>
    /// <exception cref="InvalidOperationException">The model has no edits, or a trace is open.</exception>
    public void ExportEdits(string path) => EditsFile.Write(this, path);

    /// <summary>Adds the edits of a file to this model.</summary>
    /// <exception cref="NdifException">
    /// CORRUPT_DATA: the file is damaged, or not a file of edits. BAD_ARGUMENT: it belongs to another model.
    /// </exception>
    public void ImportEdits(string path)
    {
        _ = Edits; // the edits of the constructor's file come first
        _edits.AddRange(EditsFile.Read(this, path));
    }

    /// <summary>The name by which a program refers to this model.</summary>
    protected internal abstract ModelRef Reference { get; }

    /// <summary>Fetches the description of the model.</summary>
    protected abstract ModelDescription Describe();

    /// <summary>The runner of this model's programs for a backend.</summary>
    protected internal abstract IProgramRunner RunnerFor(Backend backend);

    /// <summary>Writes an input of this model into a program.</summary>
    /// <param name="input">The input as the user passed it.</param>
    /// <param name="destination">The input of the program.</param>
    /// <param name="argument">Records tensors and values.</param>
    protected internal abstract void WriteInput(object input, Input destination, Func<object?, Argument> argument);

    /// <summary>The backend of a trace that does not set one: null inside a session, where the session's applies.</summary>
    protected static Backend? UnlessInSession(Backend backend) => Recording.Recorder.Ambient is null ? backend : null;

    /// <summary>Opens a session of this model's traces.</summary>
    protected Session OpenSession(Backend? backend) => new(this, backend);

    /// <summary>Records the experiment in the trace, runs it, and returns the experiment's result.</summary>
    protected static async Task<T> RecordAndRunAsync<T>(Trace trace, Func<Trace, T> experiment, CancellationToken cancellationToken)
    {
        using (trace)
        {
            AsynchronousRecording.Refuse(experiment);
            T result = experiment(trace);
            AsynchronousRecording.RefuseTask(result);
            await trace.RunAsync(cancellationToken);
            return result;
        }
    }

    /// <summary>
    /// Opens a trace. Without an input, each <see cref="Trace.Invoke(object)"/> has its own. <see cref="Tracer.RunAsync"/> runs what was
    /// recorded.
    /// </summary>
    protected Trace Open(object? input, Mode mode, Backend? backend, bool grad, Generation? generation) =>
        new(this, input, mode, backend, grad, generation);
}
