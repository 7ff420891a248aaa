using Ndif.Recording;

namespace Ndif;

/// <summary>All arguments of a module's call: the current ones, or new ones that replace them.</summary>
/// <example><code>layer.Inputs = new Inputs([hidden], new() { ["attention_mask"] = mask });</code></example>
public sealed class Inputs : Value
{
    private readonly (object Args, object Kwargs)? _replacement;

    internal Inputs(Recorder recorder, uint node) : base(recorder, node) { }

    /// <summary>New arguments.</summary>
    /// <param name="args">The positional arguments.</param>
    /// <param name="kwargs">Arguments by name. An argument that is not named keeps its value.</param>
    public Inputs(IReadOnlyList<Value> args, Dictionary<string, Value>? kwargs = null) : base(null, 0) =>
        _replacement = (args, (kwargs ?? []).ToDictionary(argument => argument.Key, argument => (object?)argument.Value));

    /// <summary>The positional arguments: <c>Args[0]</c>.</summary>
    public Value Args => this[0];

    /// <summary>The arguments by name: <c>Kwargs["attention_mask"]</c>.</summary>
    public Value Kwargs => this[1];

    internal override object? AsArgument() => _replacement is { } replacement ? replacement : this;
}
