using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A list that the program fills while it runs; saved, it comes back as it is at the end.</summary>
public sealed class ValueList : Value
{
    internal ValueList(Recorder recorder) : base(recorder, recorder.Add(new Node { Container = new MakeContainer() })) { }

    public void Append(Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { Append = new Append { Container = Node, Value = recorder.Argument(value) } });
    }
}
