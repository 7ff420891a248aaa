using Ndif.Engine.Tests.Support;
using TorchSharp;

namespace Ndif.Engine.Tests.Features;

/// <summary>What can be done with a <see cref="Saved"/> after the run, and with tensors of TorchSharp in a trace.</summary>
public sealed class ResultTests
{
    private const string Prompt = "Hello there";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static LanguageModel Llm => Backends.Model("local");

    private static async Task<(Saved Hidden, Saved Number, Saved Ids)> RunAsync()
    {
        LanguageModel llm = Llm;
        return await llm.TraceAsync(Prompt, _ =>
            (llm.Layers[0].Hidden.Save(), llm.Layers[0].Hidden.Shape[^1].Save(), llm.Logits[0].ArgMax(-1).Save()),
            cancellationToken: Cancellation);
    }

    [Fact]
    public async Task OperationsOnResults_AreComputed()
    {
        (Saved hidden, Saved number, Saved ids) = await RunAsync();
        TensorData x = hidden.Tensor;
        (Value Computed, TensorData Expected)[] pairs =
        [
            (hidden - hidden, x - x), (hidden * 2, x * 2), (2 / hidden, 2.0 / x), (1.5 * ids, ids.Tensor * 1.5), (ids + 1, ids.Tensor + 1),
            (-hidden, -x), (hidden + TensorData.Ones([1]), x + TensorData.Ones([1])), (number * 2, number.Tensor * 2),
            (hidden.Softmax(-1), x.Softmax()), (hidden[0, ^1].LogSoftmax(-1), x[0, ^1].LogSoftmax()), (hidden.Abs().Log(), x.Abs().Log()),
            (hidden.Sum(), x.Sum()), (hidden.Mean([0, 1], keepdim: true), x.Mean([0, 1], true)), (hidden.Std(-1), x.Std(-1)),
            (hidden.Var(-1, correction: 0), x.Var(-1, 0)), (hidden.Norm(), x.Norm()), (hidden.Norm(1, dim: -1), x.Norm(1, -1)),
            (hidden.Max(), x.Max()), (hidden.Max(1)[0], x.Max(1).Values), (hidden.ArgMax(-1), x.ArgMax(-1)), (hidden.Amin(-1), x.Amin(-1)),
            (hidden.TopK(3)[1], x.TopK(3).Indices), (hidden.TopK(3, largest: false)[0], x.TopK(3, largest: false).Values),
            (hidden.LogSumExp(-1), x.LogSumExp(-1)), (hidden.CumSum(1), x.CumSum(1)), (hidden.Pow(2), x.Pow(2)),
            (hidden.Transpose(1, 2), x.Transpose(1, 2)), (hidden.MT, x.Transpose(-1, -2)), (hidden.Permute(2, 0, 1), x.Permute(2, 0, 1)),
            (hidden.Flatten(1), x.Flatten(1)), (hidden.Squeeze(0).T(), x.Squeeze(0).T()), (hidden.Unsqueeze(0), x.Unsqueeze(0)),
            (hidden.Reshape(-1), x.Reshape(-1)), (hidden.MatMul(hidden.MT), x.MatMul(x.Transpose(1, 2))),
            (hidden.To(DType.Float64), x.To(DType.Float64)), (hidden.Save(), x),
        ];
        for (int i = 0; i < pairs.Length; i++)
            Assert.True(((TensorData)pairs[i].Computed).SameAs(pairs[i].Expected), $"pair {i}: {pairs[i].Computed}");
        (Value values, Value indices) = hidden.TopK(2);
        Assert.Equal([1, x.Shape[1], 2], ((TensorData)values).Shape.ToArray());
        Assert.Equal(x.TopK(2).Indices.ToString(), indices.ToString());
    }

    [Fact]
    public async Task WhatAResultCannotDo_IsSaid()
    {
        (Saved hidden, _, _) = await RunAsync();
        foreach (Action use in (Action[])[() => hidden.Gelu(), () => _ = hidden > 0, () => hidden.Sum(dtype: DType.Float64)])
        {
            var error = Assert.Throws<InvalidOperationException>(use);
            Assert.Contains("outside of a trace. `saved.Tensor` is a TensorData", error.Message, StringComparison.Ordinal);
        }
        Assert.Contains("A result cannot be changed", Assert.Throws<InvalidOperationException>(() => hidden[0] = 1).Message,
            StringComparison.Ordinal);
        Assert.Throws<ShapeMismatchException>(() => hidden + TensorData.Zeros([7, 7, 7]));
    }

    [Fact]
    public async Task InAnotherTrace_AResultIsAConstant()
    {
        (Saved hidden, _, _) = await RunAsync();
        LanguageModel llm = Llm;
        using Trace t = llm.Trace(Prompt);
        Value recorded = hidden - llm.Layers[0].Hidden;
        Assert.IsNotType<Saved>(recorded);
        Assert.Throws<InvalidOperationException>(() => (TensorData)recorded);
        Saved zero = recorded.Abs().Max().Save(), activated = hidden.Gelu().Save();
        await t.RunAsync(Cancellation);
        Assert.Equal(0, zero.Item<float>());
        Assert.Equal(hidden.Tensor.Shape.ToArray(), activated.Tensor.Shape.ToArray());
    }

    [Fact]
    public async Task TensorsOfTorchSharp_AreOperands()
    {
        LanguageModel llm = Llm;
        (Saved hidden, _, _) = await RunAsync();
        using torch.Tensor direction = torch.arange(hidden.Tensor.Shape[^1], torch.ScalarType.Float32);
        var (sum, difference, product, quotient, assigned) = await llm.TraceAsync(Prompt, t =>
        {
            Value x = llm.Layers[0].Hidden;
            var saves = ((x + direction).Save(), (direction - x).Save(), (direction * x).Save(), (x / (direction + 1)).Save());
            x[.., ^1] = direction.ToData();
            t.Log(direction); // an argument of any type
            return (saves.Item1, saves.Item2, saves.Item3, saves.Item4, x.Save());
        }, cancellationToken: Cancellation);
        TensorData d = direction.ToData(), x = hidden.Tensor;
        TensorAssert.Same(x + d, sum.Tensor);
        TensorAssert.Same(d - x, difference.Tensor);
        TensorAssert.Same(d * x, product.Tensor);
        TensorAssert.Same(x / (d + 1), quotient.Tensor);
        TensorAssert.Same(d, assigned.Tensor[0, ^1]);
        using torch.Tensor result = sum.ToTorch();
        TensorAssert.Same(sum.Tensor, result.ToData());
    }
}
