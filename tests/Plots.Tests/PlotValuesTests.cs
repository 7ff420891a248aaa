namespace Ndif.Drawing.Tests;

/// <summary>Shapes of values, numbers of labels, and what the errors say.</summary>
public sealed class PlotValuesTests
{
    [Fact]
    public void DimensionsOfSizeOneInFront_DoNotMatter()
    {
        TensorData pattern = TensorData.FromArray(new[] { 1f, 0, 0.5f, 0.5f }, 1, 1, 2, 2);
        Assert.Equal(Plots.Attention(pattern.Reshape(2, 2)).ToSvg(), Plots.Attention(pattern).ToSvg());
        Assert.Equal(Plots.HeatMap(pattern.Reshape(2, 2)).ToSvg(), Plots.HeatMap(pattern).ToSvg());
    }

    [Fact]
    public void EveryRealElementType_CanBeDrawn()
    {
        TensorData values = TensorData.FromArray(new[] { 0f, 1, 2 });
        foreach (DType type in Enum.GetValues<DType>().Where(t => t is not (DType.Complex64 or DType.Complex128)))
            Assert.Contains("layer 0, position 1: 1", FigureTests.Tooltips(Plots.HeatMap(values.To(type)).ToSvg()));
    }

    [Fact]
    public void OtherShapes_AreErrors_ThatSayWhatIsExpected()
    {
        string message = Assert.Throws<ShapeMismatchException>(() => Plots.Saliency(new[,] { { 1.0, 2 }, { 3, 4 } }, ["a", "b"])).Message;
        Assert.Contains("A saliency takes values [seq], not [2, 2].", message, StringComparison.Ordinal);
        Assert.Contains("reduce", message, StringComparison.Ordinal);
        Assert.Throws<ShapeMismatchException>(() => Plots.HeatMap(Array.Empty<double>()));
        Assert.Throws<ShapeMismatchException>(() => Plots.HeatMap(new TensorData[] { TensorData.Arange(2), TensorData.Arange(3) }));
        Assert.Throws<ShapeMismatchException>(() => Plots.GenerationScores(new[] { 1.0, 2 }, ["a"]));
    }

    [Fact]
    public void OtherNumbersOfTokens_AreErrors_WithBothNumbers()
    {
        string message = Assert.Throws<ShapeMismatchException>(() => Plots.HeatMap(new[] { 1.0, 2 }, ["a"])).Message;
        Assert.Contains("There are 1 labels for 2 columns.", message, StringComparison.Ordinal);
        Assert.Throws<ShapeMismatchException>(() => Plots.Attention(Gallery.Patterns(2, 3), ["a", "b"]));
        Assert.Throws<ShapeMismatchException>(() => Plots.Saliency(new[] { 1.0 }, ["a", "b"]));
        Assert.Throws<ShapeMismatchException>(() => Plots.Lines(new[] { 1.0 }, names: ["a", "b"]));
    }
}
