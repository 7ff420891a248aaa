using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>The consecutive traces of one model in a session: one program.</summary>
internal sealed class SessionPart(TracedModel model, Recorder recorder)
{
    private readonly Dictionary<Value, (Saved Result, List<Argument> Uses)> _imports = new(ReferenceEqualityComparer.Instance);

    public TracedModel Model { get; } = model;

    public Recorder Recorder { get; } = recorder;

    /// <summary>
    /// The argument by which this part uses a value of an earlier part. The earlier part saves the value at its end, and the argument is
    /// set when it has run.
    /// </summary>
    public Argument Import(Value value)
    {
        if (!_imports.TryGetValue(value, out var import)) _imports[value] = import = (value.Recorder!.SaveAtEnd(value), []);
        var use = new Argument { None = new Nothing() };
        import.Uses.Add(use);
        return use;
    }

    /// <summary>Sets the arguments to the results of the earlier parts.</summary>
    public void SetImports()
    {
        foreach (var (result, uses) in _imports.Values)
        {
            Argument argument = Recorder.Argument(result.Result);
            foreach (Argument use in uses) use.MergeFrom(argument);
        }
    }
}
