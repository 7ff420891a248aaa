using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A list that the program fills while it runs. A saved list comes back with its items at the end of the run.</summary>
public sealed class ValueList : Value
{
    internal ValueList(Recorder recorder, Value[] items)
        : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Items = { items.Select(recorder.Argument) } } })) { }

    /// <summary>Adds an item to the end of the list.</summary>
    public void Append(Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { Append = new Append { Container = recorder.RequireOwn(this), Value = recorder.Argument(value) } });
    }
}

/// <summary>
/// A dictionary that the program fills while it runs: <c>map["probs"] = value</c>. A saved dictionary comes back with its entries at the
/// end of the run.
/// </summary>
public sealed class ValueMap : Value
{
    internal ValueMap(Recorder recorder) : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Map = true } })) { }

    /// <summary>Sets an entry.</summary>
    public void Put(string key, Value value)
    {
        Recorder recorder = Recorder.Current(this);
        var entry = new PutEntry { Container = recorder.RequireOwn(this), Key = key, Value = recorder.Argument(value) };
        recorder.Add(new Node { Put = entry });
    }
}
