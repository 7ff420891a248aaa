using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;

namespace Ndif;

/// <summary>Trains parameters where the program runs: after a backward pass call <see cref="Step"/>, then <see cref="ZeroGrad"/>.</summary>
public sealed class Optimizer
{
    private readonly Value _node;

    internal Optimizer(
        Recorder recorder, string kind, IEnumerable<Value> parameters, params ReadOnlySpan<(string Name, double? Value)> options)
    {
        var node = new NewOptimizer { Kind = kind };
        foreach (Value parameter in parameters)
            node.Parameters.Add(recorder.Argument(parameter) is { ValueCase: Argument.ValueOneofCase.Node } argument ? argument.Node
                : throw new ArgumentException("An optimizer trains what Parameter(...) returned."));
        foreach (var (name, value) in options)
            if (value is { } given) node.Options[name] = given;
        new OptimizerSettings(node).Validate();
        _node = recorder.Value(new Node { NewOptimizer = node });
    }

    /// <summary>Updates the parameters from their gradients. <para>PyTorch: <c>Optimizer.step</c></para></summary>
    public void Step() => AddStep(zeroGrad: false);

    /// <summary>Clears the gradients; otherwise they accumulate over passes. <para>PyTorch: <c>Optimizer.zero_grad</c></para></summary>
    public void ZeroGrad() => AddStep(zeroGrad: true);

    private void AddStep(bool zeroGrad)
    {
        Recorder recorder = Recorder.Current(_node, "An optimizer");
        recorder.Add(new Node { OptimizerStep = new OptimizerStep { Optimizer = recorder.RequireOwn(_node), Zero = zeroGrad } });
    }
}
