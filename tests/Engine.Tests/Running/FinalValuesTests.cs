using Ndif.Engine.Tests.Support;
using TorchSharp;

namespace Ndif.Engine.Tests.Running;

/// <summary>Which saved values nobody changes, so that they can be written later without a copy.</summary>
public sealed class FinalValuesTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void OnlyResultsOfOperations_ThatAreSavedAndNotUsedOtherwise_AreFinal()
    {
        LanguageModel model = _fixture.Model;
        JobOutcome outcome = _fixture.Run(_prompt, t =>
        {
            Value hidden = model.Layers[0].Hidden;
            (hidden * 2).Save("product");
            hidden.Save("activation");
            hidden[.., 1].Save("view");
            hidden.To(DType.Float32).Save("same type");      // libtorch returns the tensor itself
            hidden.To(DType.Float64).Save("other type");
            hidden.Reshape(3, -1).Save("same memory");
            Value used = hidden + 1;
            used.Save("used");
            used.Sum().Save("sum");
            ValueList list = t.List();
            list.Append(hidden);
            list.Save("list");                               // its items are copies
        }).AssertCompleted();
        Assert.Equal(["list", "other type", "product", "sum"], outcome.FinalNames.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ACopyInParts_HasTheElements_InTheirOrder(bool isTransposed)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        torch.Tensor tensor = torch.arange(3 * 2000 * 1500, dtype: torch.ScalarType.Int32).view(3, 2000, 1500); // 36 MB
        if (isTransposed) tensor = tensor.transpose(0, 2);
        int parts = 1;
        using torch.Tensor copy = TensorBytes.CopyInParts(tensor, () => parts++);
        Assert.True(copy.is_contiguous());
        Assert.True(copy.Equals(tensor));
        Assert.InRange(parts, 4, 6);
        using torch.Tensor scalar = TensorBytes.CopyInParts(torch.tensor(7), () => { });
        Assert.Equal(7, scalar.item<int>());
    }
}
