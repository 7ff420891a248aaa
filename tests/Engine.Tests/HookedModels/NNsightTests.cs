using Ndif.Engine.Tests.Support;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Engine.Tests.HookedModels;

/// <summary>Traces of modules that users have written with TorchSharp.</summary>
public sealed class NNsightTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Module<Tensor, Tensor> _net;
    private readonly NNsight _model;
    private readonly Tensor _input;

    public NNsightTests()
    {
        random.manual_seed(1);
        _net = Sequential(("layer1", Linear(5, 10)), ("act", ReLU()), ("layer2", Linear(10, 2)));
        _model = new NNsight(_net);
        _input = rand(1, 5);
    }

    public void Dispose() => _scope.Dispose();

    private sealed class Thrice : Module<Tensor, Tensor>
    {
        private readonly Module<Tensor, Tensor> _inner = Linear(4, 4), _unused = Linear(4, 4);

        public Thrice() : base(nameof(Thrice)) => RegisterComponents();

        public override Tensor forward(Tensor x) => x.sum().item<float>() > 1e9 ? _unused.call(x)
            : _inner.call(_inner.call(_inner.call(x)));
    }

    private sealed class Two : Module<Tensor, Tensor, (Tensor, Tensor)>
    {
        private readonly Inner _inner = new();

        public Two() : base(nameof(Two)) => RegisterComponents();

        public override (Tensor, Tensor) forward(Tensor a, Tensor b)
        {
            (Tensor sum, Tensor difference) = _inner.call(a, b);
            return (sum * 2, difference);
        }

        public sealed class Inner : Module<Tensor, Tensor, (Tensor, Tensor)>
        {
            public Inner() : base(nameof(Inner)) { }

            public override (Tensor, Tensor) forward(Tensor a, Tensor b) => (a + b, a - b);
        }
    }

    private sealed class Throws : Module<Tensor, Tensor>
    {
        public Throws() : base(nameof(Throws)) { }

        public override Tensor forward(Tensor x) => throw new NotSupportedException("not today");
    }

    private static float[] Values(Tensor tensor) => tensor.data<float>().ToArray();

    [Fact]
    public async Task ASequential_IsReadEditedAndReplaced_ByTheNamesOfItsParts()
    {
        Assert.Equal(
            "Sequential(\n  (layer1): Linear(in_features=5, out_features=10, bias=True)\n  (act): ReLU()\n  (layer2): "
            + "Linear(in_features=10, out_features=2, bias=True)\n)", _model.ToString());
        using Trace t = _model.Trace(_input);
        Saved input = _model["layer1"].Input.Save();
        Saved before = _model["layer1"].Output.Save();
        _model["layer1"].Output[.., 0] = 1;
        Saved after = _model["act"].Input.Save();
        _model["layer2"].Output = _model["layer2"].Output * 0 + 3;
        Saved output = _model.Output.Save(), result = t.Result.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        Assert.Equal(Values(_input), input.ToArray<float>());
        Assert.Equal(1, after.Tensor[0, 0].Item<float>());
        TensorAssert.Same(before.Tensor[0, 1..], after.Tensor[0, 1..]);
        Assert.Equal([3f, 3], output.ToArray<float>());
        Assert.Equal([3f, 3], result.ToArray<float>());
    }

    [Fact]
    public async Task Hooks_AreGoneAfterEachRun_AlsoAfterOneThatFails()
    {
        float[] plain = Values(_net.call(_input));
        long before = Tensor.TotalCount;
        foreach (int how in (int[])[0, 1, 2, 3])
        {
            using Trace t = _model.Trace(_input);
            _model["layer1"].Output[..] = 0;
            if (how == 1) t.Stop();
            if (how == 2) _ = _model["act"].Output[.., 99];
            if (how == 3) _model["act"].Output = TensorData.FromArray(new float[3], 1, 3);
            Task run = t.RunAsync(TestContext.Current.CancellationToken);
            if (how < 2) await run;
            else await Assert.ThrowsAnyAsync<Exception>(() => run);
            Assert.InRange(Tensor.TotalCount, 0, before);
        }
        Assert.Equal(plain, Values(_net.call(_input)));
    }

    [Fact]
    public async Task AModuleThatIsCalledThreeTimes_HasThreeCalls()
    {
        var net = new Thrice();
        var model = new NNsight(net);
        using Tensor input = ones(1, 4);
        using Trace t = model.Trace(input);
        List<Saved> inputs = [];
        Saved? last = null;
        foreach (int call in t.Iter[..3])
        {
            inputs.Add(model["_inner"].Input.Save());
            if (call == 1) model["_inner"].Output[..] = 5;
            last = model["_inner"].Output.Save();
        }
        Saved output = model.Output.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        Assert.Equal([5f, 5, 5, 5], inputs[2].ToArray<float>());
        TensorAssert.Same(last!.Tensor, output.Tensor);
    }

    [Fact]
    public async Task ABranchThatIsNotTaken_IsMissed()
    {
        var model = new NNsight(new Thrice());
        using Tensor input = ones(1, 4);
        using Trace t = model.Trace(input);
        model["_unused"].Output.Save();
        MissedValueException missed =
            await Assert.ThrowsAsync<MissedValueException>(() => t.RunAsync(TestContext.Current.CancellationToken));
        Assert.Equal("_unused", missed.Module);
        Assert.Contains("NNsightTests.cs", missed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TwoInputsAndATupleOfResults_AreArgumentsAndElements()
    {
        var model = new NNsight(new Two());
        using Tensor a = ones(2), b = full([2], 3f);
        using Trace t = model.Trace(a, b);
        Value args = model["_inner"].Inputs.Args;
        Saved second = args[1].Save();
        model["_inner"].Inputs = new Inputs([args[0] * 10]);
        Saved sum = model["_inner"].Output[0].Save();
        model["_inner"].Output = model["_inner"].Output[0] + 1;
        Saved output = model.Output.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        Assert.Equal([3f, 3], second.ToArray<float>());
        Assert.Equal([13f, 13], sum.ToArray<float>());
        Assert.Equal([28f, 28], ((Saved)output[0]).ToArray<float>());
        Assert.Equal([7f, 7], ((Saved)output[1]).ToArray<float>());
    }

    [Fact]
    public async Task Skip_GivesTheOutput_AlsoFromAnEmptyInvoke()
    {
        using Trace t = _model.Trace(_input);
        Value first = _model["layer1"].Output;
        _model["act"].Skip(first * 0 + 2);
        Saved act = _model["act"].Output.Save(), layer2 = _model["layer2"].Input.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        Assert.All(act.ToArray<float>(), x => Assert.Equal(2, x));
        Assert.All(layer2.ToArray<float>(), x => Assert.Equal(2, x));
    }

    [Fact]
    public async Task ACallBesideThePass_IsNotSeen()
    {
        using Trace t = _model.Trace(_input);
        Value hidden = _model["layer1"].Output;
        Saved called = _model["act"].Call(hidden).Save();
        Saved beside = _model["layer1"].Call(TensorData.FromArray(new float[5], 1, 5)).Save();
        Saved input = _model["act"].Input.Save(), output = _model["act"].Output.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        TensorAssert.Same(called.Tensor, output.Tensor);
        Assert.Equal([1, 10], beside.Tensor.Shape.ToArray());
        Assert.Equal([1, 10], input.Tensor.Shape.ToArray());
    }

    [Fact]
    public async Task WhatAModuleThrows_IsToldWithItsMessage()
    {
        var model = new NNsight(new Throws());
        using Trace t = model.Trace(_input);
        model.Input.Save();
        NdifException thrown = await Assert.ThrowsAsync<NdifException>(() => t.RunAsync(TestContext.Current.CancellationToken));
        Assert.Equal(ErrorCode.OpFailed, thrown.Code);
        Assert.Contains("not today", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SeveralInputs_CannotBeBatched_AndTheWrongNumberOfArgumentsIsSaid()
    {
        using (Trace t = _model.Trace())
        {
            using (t.Invoke(_input)) { }
            using (t.Invoke(_input)) { }
            BadProgramException thrown =
                await Assert.ThrowsAsync<BadProgramException>(() => t.RunAsync(TestContext.Current.CancellationToken));
            Assert.Contains("Batching is not implemented", thrown.Message, StringComparison.Ordinal);
        }
        using (Trace t = _model.Trace(_input, _input))
        {
            NdifException thrown = await Assert.ThrowsAsync<NdifException>(() => t.RunAsync(TestContext.Current.CancellationToken));
            Assert.Contains("takes 1 argument(s); 2 were given", thrown.Message, StringComparison.Ordinal);
        }
    }
}
