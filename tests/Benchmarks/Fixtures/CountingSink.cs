using Ndif.Engine.Running;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>Counts values and discards them, so that only the engine is measured.</summary>
internal sealed class CountingSink : IRunSink
{
    public int Count { get; private set; }

    public void OnValueSaved(uint node, string name, object? value, bool isFinal) => Count++;

    public void OnLogged(uint node, string text) { }

    public Ndif.Protocol.Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) =>
        throw new NotSupportedException();

    public void OnWarning(uint node, string module, string message) { }

    public void OnTokenGenerated(Protocol.NewToken token) { }
}
