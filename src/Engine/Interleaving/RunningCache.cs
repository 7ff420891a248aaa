using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// Collects what an invoke's modules give from where the cache was started, after all interventions: by path a list of calls, each
/// with "output" and "inputs". The dictionary is the cache statement's value and comes back at the end.
/// </summary>
internal sealed class RunningCache(Interpreter invoke, CacheStatement statement, Dictionary<string, object?> entries)
{
    private readonly HashSet<int> _modules = [.. statement.Modules];

    public Interpreter Invoke => invoke;

    /// <summary>Its statement.</summary>
    public uint Node => statement.Id;

    public bool Wants(Point point) => !point.IsOperation && _modules.Contains(point.Module) && (point.After ? statement.Outputs : statement.Inputs);

    /// <param name="seen">As the invoke sees it; owned from here on.</param>
    public void Add(Point point, string path, object? seen)
    {
        using var scope = torch.NewDisposeScope();
        object? kept = Ownership.Take(Ownership.Map(seen, Copy));
        Ownership.Release(seen);
        if (!entries.TryGetValue(path, out object? known)) entries[path] = known = new List<object?>();
        var calls = (List<object?>)known!;
        if (!point.After || !statement.Inputs || calls.Count == 0) calls.Add(new Dictionary<string, object?>());
        ((Dictionary<string, object?>)calls[^1]!)[point.After ? "output" : "inputs"] = kept;
        invoke.Job.Slots.Grow(statement.Id, kept);
    }

    /// <summary>Later edits in place must not reach what was cached.</summary>
    private torch.Tensor Copy(torch.Tensor tensor)
    {
        torch.Tensor plain = tensor.detach().clone();
        return statement.Type is { } type && tensor.is_floating_point() ? plain.to(type) : plain;
    }
}
