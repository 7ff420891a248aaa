using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Collects the inputs and outputs of modules for an invoke, from the start of its cache on and after all interventions: by path a list of
/// calls, each with "output", "inputs" and "routing". The dictionary is the value of the cache statement and is saved at the end.
/// </summary>
internal sealed class ActivationCollector(Interpreter invoke, CacheStatement statement, Dictionary<string, object?> entries)
{
    private readonly HashSet<int> _modules = [.. statement.Modules];
    private readonly HashSet<HookPoint> _routing = [.. statement.Routing];

    public Interpreter Invoke => invoke;

    /// <summary>The cache statement.</summary>
    public uint Node => statement.Id;

    /// <summary>Whether the output, or the inputs, of the module are cached.</summary>
    public bool Includes(HookPoint point) => !point.IsOperation && _modules.Contains(point.Module)
        && (point.IsAfter ? statement.Outputs : statement.Inputs);

    /// <summary>Whether the routing is cached here.</summary>
    public bool IncludesRouting(HookPoint point) => _routing.Contains(point);

    /// <param name="value">The slice of the invoke; owned by this method.</param>
    public void Add(HookPoint point, string path, object? value) => Add(point, path, point.IsAfter ? "output" : "inputs", value);

    /// <param name="value">The slice of the invoke: the arguments with keywords, or the output; owned by this method.</param>
    public void AddRouting(
        HookPoint point, string path, object? value, Func<IReadOnlyList<object?>, (torch.Tensor, torch.Tensor)> routingOf)
    {
        using var scope = torch.NewDisposeScope();
        var values = (IReadOnlyList<object?>)value!;
        (torch.Tensor indices, torch.Tensor weights) = routingOf(point.IsAfter ? values : (IReadOnlyList<object?>)values[0]!);
        object? routing = TensorOwnership.TakeOwnership(new object?[] { indices.alias(), weights.alias() });
        TensorOwnership.DisposeTensors(value);
        Add(point, path, "routing", routing);
    }

    private void Add(HookPoint point, string path, string part, object? value)
    {
        using var scope = torch.NewDisposeScope();
        object? copy = TensorOwnership.TakeOwnership(TensorOwnership.MapTensors(value, CopyTensor));
        TensorOwnership.DisposeTensors(value);
        if (!entries.TryGetValue(path, out object? existing)) entries[path] = existing = new List<object?>();
        var calls = (List<object?>)existing!;
        var call = calls.Count == 0 ? null : (Dictionary<string, object?>)calls[^1]!;
        // a call has each part once, and the output last
        if (call is null || call.ContainsKey(part) || (!point.IsAfter && call.ContainsKey("output"))) calls.Add(call = []);
        call[part] = copy;
        invoke.Job.Slots.AddBytes(statement.Id, copy);
    }

    /// <summary>Copies a tensor, so that later in-place edits do not reach the cache.</summary>
    private torch.Tensor CopyTensor(torch.Tensor tensor)
    {
        torch.Tensor copy = tensor.detach().clone();
        return statement.DType is { } type && tensor.is_floating_point() ? copy.to(type) : copy;
    }
}
