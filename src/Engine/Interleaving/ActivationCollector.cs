using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Collects the inputs and outputs of modules for an invoke, from the start of its cache on and after all interventions: by path a list of
/// calls, each with "output" and "inputs". The dictionary is the value of the cache statement and is saved at the end.
/// </summary>
internal sealed class ActivationCollector(Interpreter invoke, CacheStatement statement, Dictionary<string, object?> entries)
{
    private readonly HashSet<int> _modules = [.. statement.Modules];

    public Interpreter Invoke => invoke;

    /// <summary>The cache statement.</summary>
    public uint Node => statement.Id;

    public bool Includes(HookPoint point) => !point.IsOperation && _modules.Contains(point.Module)
        && (point.IsAfter ? statement.Outputs : statement.Inputs);

    /// <param name="value">The slice of the invoke; owned by this method.</param>
    public void Add(HookPoint point, string path, object? value)
    {
        using var scope = torch.NewDisposeScope();
        object? copy = TensorOwnership.TakeOwnership(TensorOwnership.MapTensors(value, CopyTensor));
        TensorOwnership.DisposeTensors(value);
        if (!entries.TryGetValue(path, out object? existing)) entries[path] = existing = new List<object?>();
        var calls = (List<object?>)existing!;
        if (!point.IsAfter || !statement.Inputs || calls.Count == 0) calls.Add(new Dictionary<string, object?>());
        ((Dictionary<string, object?>)calls[^1]!)[point.IsAfter ? "output" : "inputs"] = copy;
        invoke.Job.Slots.TrackBytes(statement.Id, copy);
    }

    /// <summary>Copies a tensor, so that later in-place edits do not reach the cache.</summary>
    private torch.Tensor CopyTensor(torch.Tensor tensor)
    {
        torch.Tensor copy = tensor.detach().clone();
        return statement.DType is { } type && tensor.is_floating_point() ? copy.to(type) : copy;
    }
}
