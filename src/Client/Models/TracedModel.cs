using Ndif.Protocol;
using Ndif.Running;

namespace Ndif;

/// <summary>A model whose inside can be traced: the root of its tree of <see cref="Envoy"/>s.</summary>
public abstract class TracedModel : Envoy
{
    private readonly List<Action> _edits = [];
    private readonly IReadOnlyDictionary<string, Aliases> _rename;
    private AliasMap? _aliases;
    private ModelTree _tree = new();
    private string? _editsFile;

    /// <param name="rename">Other names of modules.</param>
    /// <param name="edits">A file of edits to begin with; read when the tree or a trace first needs it.</param>
    protected TracedModel(IReadOnlyDictionary<string, Aliases>? rename = null, string? edits = null)
    {
        _rename = rename ?? new Dictionary<string, Aliases>();
        _editsFile = edits;
    }

    /// <summary>What is known of the model without its weights; fetched when it is first needed.</summary>
    public ModelDescription Description => _tree.Description ??= Describe().Clone();

    /// <summary>The model as the service knows it, without the user's modules; null if nothing has asked for the description yet.</summary>
    private protected ModelDescription? ServedDescription => _tree.Description is { } known ? Attachments.RemoveFrom(known) : null;

    private protected override ModuleInfo Info
    {
        get
        {
            _ = Edits; // those of a file may bring modules
            return Description.Root;
        }
    }

    /// <summary>Other names of its modules, as they were asked for.</summary>
    protected IReadOnlyDictionary<string, Aliases> Rename => _rename;

    internal AliasMap Aliases => _aliases ??= new AliasMap(Description.Root, _rename);

    /// <summary>The user's own modules in its tree.</summary>
    internal Attachments Attachments => _tree.Attachments;

    /// <summary>Has the tree of another model, also what is attached to it later.</summary>
    protected void ShareTree(TracedModel other) => _tree = other._tree;

    /// <summary>What is known of a model, and what its user attached; models that are edits of each other share it.</summary>
    private sealed class ModelTree
    {
        public ModelDescription? Description { get; set; }

        public Attachments Attachments { get; } = new();
    }

    /// <summary>What every trace of this model begins with, on each of its prompts.</summary>
    internal IReadOnlyList<Action> Edits
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
                _editsFile = file; // and it says so again
                throw;
            }
            return _edits;
        }
    }

    /// <summary>Takes back all persistent edits of this model.</summary>
    public void ClearEdits()
    {
        _editsFile = null;
        _edits.Clear();
    }

    /// <summary>Adds a persistent edit to this model, after those of another one that it begins with.</summary>
    protected void AddEdit(TracedModel? inherited, Action edit)
    {
        _ = Edits; // those of a file come first
        if (inherited is not null) _edits.AddRange(inherited.Edits);
        _edits.Add(edit);
    }

    /// <summary>
    /// Writes this model's edits to a file: the programs that they record, constants included. Another process reads them with
    /// <see cref="ImportEdits"/>, of the same model under whatever name.
    /// </summary>
    /// <exception cref="InvalidOperationException">There are none; or a trace is open.</exception>
    public void ExportEdits(string path) => EditsFile.Write(this, path);

    /// <summary>Adds the edits of a file to this model's.</summary>
    /// <exception cref="NdifException">CORRUPT_DATA: it is damaged, or no file of edits. BAD_ARGUMENT: they are another model's.</exception>
    public void ImportEdits(string path)
    {
        _ = Edits; // those that it began with come first
        _edits.AddRange(EditsFile.Read(this, path));
    }

    /// <summary>The name under which a program refers to this model.</summary>
    protected internal abstract ModelRef Reference { get; }

    protected abstract ModelDescription Describe();

    /// <summary>Who runs this model's programs there.</summary>
    protected internal abstract IProgramRunner RunnerFor(Backend backend);

    /// <summary>How this model's input enters a program; <paramref name="argument"/> records tensors and values.</summary>
    protected internal abstract void WriteInput(object input, Input destination, Func<object?, Argument> argument);

    /// <summary>Where a trace runs that does not say: inside of a session with it, else there.</summary>
    protected static Backend? UnlessInSession(Backend backend) => Recording.Recorder.Ambient is null ? backend : null;

    /// <summary>Opens a session of this model's traces.</summary>
    protected Session OpenSession(Backend? backend) => new(this, backend);

    /// <summary>Records what <paramref name="experiment"/> does in the trace, runs it, and gives back what it returned, filled.</summary>
    protected static async Task<T> RecordAndRunAsync<T>(Trace trace, Func<Trace, T> experiment, CancellationToken cancellationToken)
    {
        using (trace)
        {
            T result = experiment(trace);
            await trace.RunAsync(cancellationToken);
            return result;
        }
    }

    /// <summary>
    /// Opens a trace over one forward pass; with no prompt, each <see cref="Trace.Invoke(object)"/> brings its own. Record
    /// inside of it, then <see cref="Trace.RunAsync"/>.
    /// </summary>
    protected Trace Open(object? input, Mode mode, Backend? backend, bool grad, Generation? generation) =>
        new(this, input, mode, backend, grad, generation);
}
