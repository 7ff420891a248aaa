using Ndif.Protocol;
using Ndif.Running;

namespace Ndif;

/// <summary>A model whose inside can be traced: the root of its tree of <see cref="Envoy"/>s.</summary>
public abstract class TracedModel : Envoy
{
    private readonly List<Action> _edits = [];
    private ModelDescription? _description;

    /// <summary>What is known of the model without its weights; fetched when it is first needed.</summary>
    public ModelDescription Description => _description ??= Describe();

    private protected override ModuleInfo Info => Description.Root;

    /// <summary>What every trace of this model begins with, on each of its prompts.</summary>
    internal IReadOnlyList<Action> Edits => _edits;

    /// <summary>Takes back all persistent edits of this model.</summary>
    public void ClearEdits() => _edits.Clear();

    /// <summary>Adds a persistent edit to this model, after those of another one that it begins with.</summary>
    protected void AddEdit(TracedModel? inherited, Action edit)
    {
        if (inherited is not null) _edits.AddRange(inherited._edits);
        _edits.Add(edit);
    }

    /// <summary>The name under which a program refers to this model.</summary>
    protected internal abstract ModelRef Reference { get; }

    protected abstract ModelDescription Describe();

    /// <summary>Who runs this model's programs there.</summary>
    protected internal abstract IProgramRunner RunnerFor(Backend backend);

    /// <summary>How this model's input enters a program; <paramref name="argument"/> records tensors and values.</summary>
    protected internal abstract void Prepare(object input, Input into, Func<object?, Argument> argument);

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
