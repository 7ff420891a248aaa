using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A recorded branch, to which alternatives can be added.</summary>
public sealed class Conditional
{
    private readonly Recorder _recorder;
    private readonly Region _region;
    private readonly int _position;
    private readonly If _node;
    private bool _hasElse;

    internal Conditional(Recorder recorder, Value condition, Action then) : this(recorder, recorder.Argument(condition), then) { }

    private Conditional(Recorder recorder, Argument condition, Action then)
    {
        _recorder = recorder;
        _node = new If { Branches = { new Branch { Condition = condition, Region = recorder.RecordRegion(then) } } };
        _region = recorder.CurrentRegion;
        recorder.Add(new Node { If = _node });
        _position = _region.Nodes.Count;
    }

    /// <summary>An alternative with a condition of its own, which is computed only if the conditions before it do not hold.</summary>
    public Conditional ElseIf(Value condition, Action then)
    {
        // the nodes recorded since the branch compute this condition: they move into the alternative
        uint[] conditionNodes = [.. _region.Nodes.Skip(_position)];
        while (_region.Nodes.Count > _position) _region.Nodes.RemoveAt(_position);
        Conditional? inner = null;
        AddElse(() =>
        {
            _recorder.CurrentRegion.Nodes.AddRange(conditionNodes);
            inner = new Conditional(_recorder, _recorder.Argument(condition), then);
        });
        return inner!;
    }

    /// <summary>The alternative if no condition holds.</summary>
    public void Else(Action otherwise) => AddElse(otherwise);

    private void AddElse(Action body)
    {
        if (_hasElse) throw new InvalidOperationException("This branch has its Else already.");
        _hasElse = true;
        _node.Branches.Add(new Branch { Region = _recorder.RecordRegion(body) });
    }
}
