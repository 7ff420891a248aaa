using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Receives the results of a run while it runs. Called on the model thread; tensors are borrowed for the call.</summary>
internal interface IRunSink
{
    /// <summary>
    /// A saved value: a <see cref="torch.Tensor"/>, long, double, bool, string, null, tuple (<c>object?[]</c>),
    /// <c>List&lt;object?&gt;</c> or <c>Dictionary&lt;string, object?&gt;</c> of these.
    /// </summary>
    /// <param name="isFinal">Whether nobody changes its tensors any more, so that who keeps other handles of them needs no copies.</param>
    /// <exception cref="OperationCanceledException">The run was cancelled or preempted, and the value is not reported.</exception>
    void OnValueSaved(uint node, string name, object? value, bool isFinal);

    void OnLogged(uint node, string text);

    /// <summary>Calls a function of the client; the run waits for the reply.</summary>
    /// <param name="callback">The id of the client's function.</param>
    /// <returns>The reply, with its tensors inline.</returns>
    /// <exception cref="NdifException">LOCAL_CALL_FAILED: the client's function failed or timed out.</exception>
    Protocol.Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout);

    void OnWarning(uint node, string module, string message);

    /// <summary>A streaming generation has a new token.</summary>
    /// <exception cref="OperationCanceledException">The run was cancelled or preempted, and the token is not reported.</exception>
    void OnTokenGenerated(NewToken token);
}
