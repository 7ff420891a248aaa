using Ndif.Engine;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Language.Tests.Support;

/// <summary>
/// The module of nnsight's tests, with an input: two linear layers, layer1 from 5 to 10 features and layer2 from 10 to 2.
/// </summary>
internal sealed class TinyNet : IDisposable
{
    // One module for all tests: TorchSharp never frees the handles with which a layer initializes its parameters, and tests count them.
    private static readonly nn.Module<Tensor, Tensor> _net = nn.Sequential(("layer1", nn.Linear(5, 10)), ("layer2", nn.Linear(10, 2)));

    public TinyNet() => Model = Wrap();

    /// <summary>The module that all tests share.</summary>
    public static nn.Module<Tensor, Tensor> Module => _net;

    public NNsight Model { get; }

    public Envoy Layer1 => Model["layer1"];

    public Envoy Layer2 => Model["layer2"];

    public Tensor Input { get; } = rand(1, 5);

    /// <summary>Another wrapper of the same module.</summary>
    public NNsight Wrap(Dictionary<string, Aliases>? rename = null) => new(_net, rename);

    public Trace Trace(ExecutionMode mode, bool grad = false) => Trace(Model, mode, grad);

    public Trace Trace(NNsight model, ExecutionMode mode, bool grad = false) =>
        model.Trace(Input, mode is ExecutionMode.Local ? Backend.Local : Backend.Loopback, grad);

    /// <summary>The output of the module without hooks.</summary>
    public TensorData Plain()
    {
        using var noGraph = no_grad();
        using Tensor output = _net.call(Input);
        return output.ToData();
    }

    public void Dispose() => Input.Dispose();
}
