using Ndif.Engine;

namespace Ndif.Language.Tests;

/// <summary>nnsight's test_multiple_wrappers.py: several wrappers of one module.</summary>
public sealed class MultipleWrappersTests(ServiceFixture service) : LanguageTests(service)
{
    private async Task<Saved> Output(TinyNet net, NNsight model, ExecutionMode mode, Action<NNsight>? intervene = null)
    {
        using Trace t = net.Trace(model, mode);
        intervene?.Invoke(model);
        Saved output = model.Output.Save();
        await t.RunAsync(Cancel);
        return output;
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestMultipleWrappers.test_two_wrappers_both_work",
        "test_multiple_wrappers/TestMultipleWrappers.test_three_wrappers",
        "test_multiple_wrappers/TestMultipleWrapperEdgeCases.test_save_intermediate_layers_multiple_wrappers")]
    public async Task SeveralWrappers_GiveTheSame(ExecutionMode mode)
    {
        using TinyNet net = new();
        foreach (NNsight model in (NNsight[])[net.Model, net.Wrap(), net.Wrap()])
        {
            using Trace t = net.Trace(model, mode);
            Saved layer = model["layer1"].Output.Save(), output = model.Output.Save();
            await t.RunAsync(Cancel);
            Same(net.Plain(), output);
            Assert.Equal([1, 10], layer.Tensor.Shape.ToArray());
        }
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestMultipleWrappers.test_two_wrappers_modifications_independent",
        "test_multiple_wrappers/TestMultipleWrapperEdgeCases.test_wrapper_with_modifications_then_new_wrapper")]
    public async Task AnEditThroughOneWrapper_DoesNotReachAnother(ExecutionMode mode)
    {
        using TinyNet net = new();
        Zero(await Output(net, net.Model, mode, m => m.Output[..] = 0));
        Same(net.Plain(), await Output(net, net.Wrap(), mode));
        NNsight edited = net.Wrap().Edit(() => net.Model.Output[..] = 0);
        Zero(await Output(net, edited, mode));
        Same(net.Plain(), await Output(net, net.Wrap(), mode));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestMultipleWrappers.test_interleaved_wrapper_usage",
        "test_multiple_wrappers/TestManyWrappers.test_simultaneous_wrapper_traces")]
    public async Task Wrappers_AreUsedInTurn(ExecutionMode mode)
    {
        using TinyNet net = new();
        NNsight other = net.Wrap();
        for (int i = 0; i < 2; i++)
        {
            Zero(await Output(net, net.Model, mode, m => m.Output[..] = 0));
            Same(net.Plain(), await Output(net, other, mode));
        }
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestManyWrappers.test_many_wrappers_no_memory_leak",
        "test_multiple_wrappers/TestManyWrappers.test_rapid_wrapper_creation_and_use")]
    public async Task TwentyWrappers_LeaveNoTensor(ExecutionMode mode)
    {
        using TinyNet net = new();
        long before = TorchSharp.torch.Tensor.TotalCount;
        for (int i = 0; i < 20; i++) Same(net.Plain(), await Output(net, net.Wrap(), mode));
        Assert.InRange(TorchSharp.torch.Tensor.TotalCount, 0, before);
    }

    [Fact]
    [PortedFrom("test_multiple_wrappers/TestManyWrappers.test_wrapper_cleanup_on_gc")]
    public async Task AWrapper_IsFreed_WhenNobodyHoldsIt()
    {
        using TinyNet net = new();
        WeakReference wrapper = UsedOnce(net);
        for (int i = 0; i < 10 && wrapper.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.False(wrapper.IsAlive);
        Same(net.Plain(), await Output(net, net.Model, ExecutionMode.Local));
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static WeakReference UsedOnce(TinyNet net)
    {
        NNsight model = net.Wrap();
        using Trace t = model.Trace(net.Input);
        model.Output.Save();
        t.Run();
        return new WeakReference(model);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestMultipleWrapperEdgeCases.test_skip_module_with_multiple_wrappers")]
    public async Task ASkipThroughOneWrapper_DoesNotReachAnother(ExecutionMode mode)
    {
        using TinyNet net = new();
        Zero(await Output(net, net.Model, mode, m => m["layer2"].Skip(Op.Zeros([1, 2]))));
        Same(net.Plain(), await Output(net, net.Wrap(), mode));
    }

    private static readonly WithOutput _withOutput = new();

    private sealed class WithOutput : TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp registers a module under the name of its field
        private readonly TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor> output = TinyNet.Module;
#pragma warning restore IDE1006

        public WithOutput() : base(nameof(WithOutput)) => RegisterComponents();

        public override TorchSharp.torch.Tensor forward(TorchSharp.torch.Tensor input) => output.call(input);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_multiple_wrappers/TestMultipleWrapperEdgeCases.test_bert_wrapper_construction_with_output_modules")]
    public async Task AModuleCalledOutput_IsReachedByName_BesideTheOutput(ExecutionMode mode)
    {
        using TinyNet net = new();
        var model = new NNsight(_withOutput);
        using Trace t = net.Trace(model, mode);
        Saved inner = model["output"].Output.Save(), outer = model.Output.Save();
        await t.RunAsync(Cancel);
        Same(inner, outer);
    }
}
