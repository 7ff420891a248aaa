using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>A variable of the program, which can be set in loops and branches.</summary>
public sealed class Variable : Value
{
    internal Variable(Recorder recorder, Value initial)
        : base(recorder, recorder.Add(new Node { Container = new MakeContainer { Items = { recorder.Argument(initial) } } })) { }

    /// <summary>The value of the variable at this point of the program.</summary>
    public Value Value => Recorder.Current(this).Call("getitem", [this, 0L]);

    /// <summary>Sets the variable.</summary>
    public void Set(Value value)
    {
        Recorder recorder = Recorder.Current(this);
        recorder.Add(new Node { SetVariable = new SetVariable { Node = recorder.RequireOwn(this), Value = recorder.Argument(value) } });
    }
}
