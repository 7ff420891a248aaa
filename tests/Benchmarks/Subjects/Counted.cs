using Ndif.Engine.Running;

namespace Ndif.Benchmarks.Subjects;

/// <summary>Takes values and does nothing with them, so that the engine alone is measured.</summary>
internal sealed class Counted : IRunSink
{
    public int Count { get; private set; }

    public void Saved(uint node, string name, object? value) => Count++;

    public void Logged(uint node, string text) { }

    public Ndif.Protocol.Data Ask(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) => throw new NotSupportedException();

    public void Warned(uint node, string module, string message) { }

    public void Generated(Protocol.NewToken token) { }
}
