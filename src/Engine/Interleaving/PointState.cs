using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What an invoke sees of its rows at a point.</summary>
/// <param name="IsCopy">Edits of it do not reach the model's memory by themselves (<see cref="RowView.IsApart"/>).</param>
/// <param name="IsFollowed">A gradient is asked of it, so the model has to go on with it.</param>
internal sealed record SeenPart(RowView View, SiteKind Kind, object? Value, bool IsCopy, bool IsFollowed);

/// <summary>What happens at one point of a pass.</summary>
internal sealed class PointState
{
    /// <summary>What writes made here; the latest is the value, those before it can go.</summary>
    private readonly HashSet<torch.Tensor> _made = Ownership.NewSet();

    /// <summary>The pass stands here now.</summary>
    public bool IsHere { get; private set; }

    public object? Value { get; private set; }

    public void Come(object? value) => (IsHere, Value) = (true, value);

    /// <summary>What invokes see of rows of the value and that has to be put back: a gradient is asked of it, or it is a copy.</summary>
    public List<SeenPart> Parts { get; } = [];

    public void Leave()
    {
        Parts.Clear();
        (IsHere, Value) = (false, null);
        _made.Clear();
    }

    public void Replace(object? value)
    {
        HashSet<torch.Tensor> before = Ownership.NewSet(), now = Ownership.NewSet();
        Collect(Value, before);
        Collect(value, now);
        foreach (torch.Tensor old in before)
            if (!now.Contains(old) && _made.Remove(old)) old.Dispose();
        now.ExceptWith(before);
        _made.UnionWith(now);
        Value = value;
    }

    private static void Collect(object? value, HashSet<torch.Tensor> into)
    {
        Ownership.Collect(value is ModelOutput output ? output.Entries : value, into);
        if (value is not Arguments arguments) return;
        Ownership.Collect(arguments.Positional, into);
        Ownership.Collect(arguments.Keywords, into);
    }

    /// <summary>Of a module's input: what the call that has just ended was given, while the pass stands at its output. It can be read.</summary>
    public Arguments? Ended { get; set; }

    /// <summary>Of a module that the program defines: what was here at the last call, for the invoke that made it.</summary>
    public object? Kept { get; private set; }

    public Interpreter? KeptBy { get; private set; }

    /// <param name="value">Fresh handles, owned from now on.</param>
    public void Keep(object? value, Interpreter? by)
    {
        Ownership.Release(Kept is Arguments before ? before.Positional : Kept);
        (Kept, KeptBy) = (value, by);
    }

    /// <summary>How often it was passed, by owner.</summary>
    public Dictionary<JobRun, int> Calls { get; } = [];

    public List<SkippedPart>? Skips { get; set; }

    public int CallsOf(JobRun job) => Calls.GetValueOrDefault(job);
}
