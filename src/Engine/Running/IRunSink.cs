using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Where a run's results go, as they come. Called on the run's thread; tensors are borrowed for the call.</summary>
public interface IRunSink
{
    /// <summary>
    /// A saved value: a <see cref="torch.Tensor"/>, long, double, bool, string, null, tuple (<c>object?[]</c>),
    /// <c>List&lt;object?&gt;</c> or <c>Dictionary&lt;string, object?&gt;</c> of these.
    /// </summary>
    void OnValueSaved(uint node, string name, object? value);

    void OnLogged(uint node, string text);

    /// <summary>Asks the client in the middle of the run, which waits for the answer.</summary>
    /// <param name="callback">Which of the client's functions.</param>
    /// <returns>The answer, its tensors inline.</returns>
    /// <exception cref="Protocol.NdifException">LOCAL_CALL_FAILED: the client's function failed, or the time was up.</exception>
    Protocol.Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout);

    void OnWarning(uint node, string module, string message);

    /// <summary>A generation that streams has a new token.</summary>
    void OnTokenGenerated(NewToken token);
}
