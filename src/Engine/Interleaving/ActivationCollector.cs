using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Collects what an invoke's modules give from where the cache was started, after all interventions: by path a list of calls, each
/// with "output" and "inputs". The dictionary is the cache statement's value and comes back at the end.
/// </summary>
internal sealed class ActivationCollector(Interpreter invoke, CacheStatement statement, Dictionary<string, object?> entries)
{
    private readonly HashSet<int> _modules = [.. statement.Modules];

    public Interpreter Invoke => invoke;

    /// <summary>Its statement.</summary>
    public uint Node => statement.Id;

    public bool Includes(HookPoint point) => !point.IsOperation && _modules.Contains(point.Module) && (point.IsAfter ? statement.Outputs : statement.Inputs);

    /// <param name="value">As the invoke sees it; owned from here on.</param>
    public void Add(HookPoint point, string path, object? value)
    {
        using var scope = torch.NewDisposeScope();
        object? kept = TensorOwnership.TakeOwnership(TensorOwnership.MapTensors(value, CopyTensor));
        TensorOwnership.DisposeTensors(value);
        if (!entries.TryGetValue(path, out object? known)) entries[path] = known = new List<object?>();
        var calls = (List<object?>)known!;
        if (!point.IsAfter || !statement.Inputs || calls.Count == 0) calls.Add(new Dictionary<string, object?>());
        ((Dictionary<string, object?>)calls[^1]!)[point.IsAfter ? "output" : "inputs"] = kept;
        invoke.Job.Slots.TrackBytes(statement.Id, kept);
    }

    /// <summary>Later edits in place must not reach what was cached.</summary>
    private torch.Tensor CopyTensor(torch.Tensor tensor)
    {
        torch.Tensor plain = tensor.detach().clone();
        return statement.DType is { } type && tensor.is_floating_point() ? plain.to(type) : plain;
    }
}
