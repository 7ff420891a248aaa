using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A list that the program fills while it runs; saved, it comes back as it is at the end.</summary>
public sealed class ValueList : Value
{
    internal ValueList(Recorder recorder, Value[] items)
        : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Items = { items.Select(recorder.Argument) } } })) { }

    public void Append(Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { Append = new Append { Container = Node, Value = recorder.Argument(value) } });
    }
}

/// <summary>A dictionary that the program fills while it runs: <c>map["probs"] = value</c>; saved, it comes back as it is at the end.</summary>
public sealed class ValueMap : Value
{
    internal ValueMap(Recorder recorder) : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Map = true } })) { }

    /// <summary>Sets an entry.</summary>
    public void Put(string key, Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { Put = new PutEntry { Container = Node, Key = key, Value = recorder.Argument(value) } });
    }
}
