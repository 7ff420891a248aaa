using Ndif.Engine;

namespace Ndif.Language.Tests;

/// <summary>nnsight's gradient tests: test_lm.py, test_tiny.py, test_multiple_wrappers.py, and those of version 0.4.</summary>
public sealed class GradientTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestGradients.test_grad_access_and_modify", "v0.4/test_tiny/test_grad_setting",
        "test_multiple_wrappers/TestMultipleWrapperEdgeCases.test_gradients_with_multiple_wrappers")]
    public async Task AGradient_IsReadReplacedAndReadAgain_ThroughAnyWrapper(ExecutionMode mode)
    {
        using TinyNet net = new();
        foreach (NNsight model in (NNsight[])[net.Model, net.Wrap()])
        {
            using Trace t = net.Trace(model, mode, grad: true);
            Value hidden = model["layer1"].Output.RequiresGrad();
            Saved before = null!, after = null!;
            t.Backward(model["layer2"].Output.Sum(), () =>
            {
                before = hidden.Grad.Clone().Save();
                hidden.Grad = hidden.Grad * 2;
                after = hidden.Grad.Save();
            });
            await t.RunAsync(Cancel);
            NotZero(before);
            Near(before.Tensor * 2, after);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestActivationModification.test_modification_with_grad")]
    public async Task AnEdit_IsMade_WhereGradientsAreOn(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris, grad: true);
        Saved before = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Hidden[..] = 0;
        Saved after = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancel);
        NotZero(before);
        Zero(after);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGradients.test_retain_grad", "v0.4/test_lm/test_retain_grad")]
    public async Task TheGradientOfAHiddenState_IsThereAfterThePass(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris, grad: true);
        Value hidden = llm.Layers[1].Hidden;
        t.Backward(llm.LmHead.Output.Sum());
        Saved grad = hidden.Grad.Save(), value = hidden.Save();
        await t.RunAsync(Cancel);
        NotZero(grad);
        Assert.Equal(value.Tensor.Shape.ToArray(), grad.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGradients.test_grad_access_and_modify", "v0.4/test_lm/test_grad")]
    public async Task AGradientSetToZero_IsZeroFromThere(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris, grad: true);
        Value early = llm.Layers[0].Hidden, late = llm.Layers[2].Hidden;
        Saved before = null!, after = null!, further = null!;
        t.Backward(llm.LmHead.Output.Sum(), () =>
        {
            before = late.Grad.Clone().Save();
            late.Grad[..] = 0;
            after = late.Grad.Save();
            further = early.Grad.Save();
        });
        await t.RunAsync(Cancel);
        NotZero(before);
        Zero(after);
        Zero(further);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestGradients.test_multi_backward", "v0.4/test_lm/test_multi_grad")]
    public async Task SeveralBackwardPasses_FollowEachOther(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris, grad: true);
        Value hidden = llm.Layers[1].Hidden, logits = llm.LmHead.Output;
        Saved first = null!, second = null!;
        t.Backward(logits.Sum(), () => first = hidden.Grad.Clone().Save());
        t.Backward(logits.Sum() * 2, () => second = hidden.Grad.Clone().Save());
        await t.RunAsync(Cancel);
        NotZero(first);
        Near(first.Tensor * 2, second, 1e-3 * first.Tensor.Norm().Item<float>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_memory_cleanup/TestGradientRetention.test_tensor_with_grad_fn_retains_references",
        "test_memory_cleanup/TestGradientRetention.test_tensor_without_grad_fn_frees_cleanly")]
    public async Task WhatIsSavedOfAGraph_HoldsNothingOfIt(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        long before = TorchSharp.torch.Tensor.TotalCount;
        foreach (bool grad in (bool[])[true, false])
        {
            using Trace t = llm.Trace(Paris, grad: grad);
            Saved logits = llm.LmHead.Output.Save();
            await t.RunAsync(Cancel);
            Assert.Equal([1, 8, 1422], logits.Tensor.Shape.ToArray());
            Assert.InRange(TorchSharp.torch.Tensor.TotalCount, 0, before);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAdapter_IsTrainedWhereTheModelIs(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Session s = llm.Session();
        Value a = s.Parameter(TensorData.Randn([128, 4], seed: 1) * 0.02), b = s.Parameter(TensorData.Zeros([4, 128]));
        Optimizer adam = s.AdamW([a, b], lr: 3e-3);
        ValueList losses = s.List();
        s.ForEach(Enumerable.Range(0, 12), _ =>
        {
            using Trace t = llm.Trace(Paris, grad: true);
            llm.Layers[2].Hidden += llm.Layers[2].Hidden.MatMul(a).MatMul(b);
            Value loss = Op.CrossEntropy(llm.LmHead.Output[0, ^1..], new long[] { llm.Tokenizer.Encode(" Rome")[0] });
            losses.Append(loss.Detach());
            t.Backward(loss);
            adam.Step();
            adam.ZeroGrad();
        });
        Saved curve = losses.Save(), trained = b.Save();
        await s.RunAsync(Cancel);
        double[] values = [.. Tensors(curve).Select(x => (double)x.Item<float>())];
        Assert.Equal(12, values.Length);
        Assert.True(values[^1] < values[0] / 2, string.Join(" ", values));
        NotZero(trained);
    }
}
