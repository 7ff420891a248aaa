using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Ndif.Drawing.Tests;

/// <summary>What each kind of picture shows of its values.</summary>
public sealed partial class PictureTests
{
    [Fact]
    public void HeatMap_ShowsEachValue_AtItsPlace()
    {
        Figure figure = Plots.HeatMap(new[,] { { 0.5, 1.0, 2.0 }, { 3.0, 4.0, 1.0 / 3 } }, [" a", " b", " c"], ["embedding", "layer 0"]);
        Assert.Contains("embedding, position 2 ·c: 2", FigureTests.Tooltips(figure.ToSvg()));
        Assert.Contains("layer 0, position 2 ·c: 0.333333", FigureTests.Tooltips(figure.ToSvg()));
        Assert.Contains("the largest is at layer 0, position 1 ·b.", figure.Description, StringComparison.Ordinal);
        // the end of viridis
        Assert.Contains("fill=\"#fde725\"><title>layer 0, position 1 ·b: 4<", figure.ToSvg(), StringComparison.Ordinal);
    }

    [Fact]
    public void NotFiniteValues_AreShownAsSuch_AndDoNotChangeTheColours()
    {
        string svg = Plots.HeatMap(new[] { 0, 1, double.NaN, double.PositiveInfinity, double.NegativeInfinity }).ToSvg();
        Assert.Contains("fill=\"#9a9fa6\"><title>layer 0, position 2: NaN<", svg, StringComparison.Ordinal);
        Assert.Contains("fill=\"#fde725\"><title>layer 0, position 3: ∞<", svg, StringComparison.Ordinal);
        Assert.Contains("fill=\"#440154\"><title>layer 0, position 4: −∞<", svg, StringComparison.Ordinal);
        Assert.Contains("fill=\"#fde725\"><title>layer 0, position 1: 1<", svg, StringComparison.Ordinal);
        Assert.Contains(">×<", svg, StringComparison.Ordinal);
        Assert.Contains("Not finite: 1 NaN (×), 2 infinite (∞).", svg, StringComparison.Ordinal);
        Assert.Contains("No finite values.", Plots.HeatMap(new[] { double.NaN }).Description, StringComparison.Ordinal);
        Assert.Contains("No finite values.", Plots.Lines(new[] { double.NaN }).ToSvg(), StringComparison.Ordinal);
    }

    [Fact]
    public void DivergingScale_IsWhiteAtZero_AndEquallyStrongOnBothSides()
    {
        string svg = Plots.HeatMap(new[] { -1.0, 0, 4 }).ToSvg();
        Assert.Contains("fill=\"#f7f7f7\"><title>layer 0, position 1: 0<", svg, StringComparison.Ordinal);
        Assert.Contains("fill=\"#053061\"><title>layer 0, position 2: 4<", svg, StringComparison.Ordinal);
        Assert.DoesNotContain("fill=\"#67001f\"><title>layer 0, position 0", svg, StringComparison.Ordinal); // −1 is a quarter of the way
    }

    [Fact]
    public void ThousandTokensTimesHundredLayers_HaveTheirValuesOnHover()
    {
        var values = new float[100, 1000];
        for (int i = 0; i < 100; i++)
            for (int j = 0; j < 1000; j++) values[i, j] = (1000 * i) + j;
        var watch = Stopwatch.StartNew();
        Figure figure = Plots.HeatMap(values, [.. Enumerable.Range(0, 1000).Select(i => $" token{i}")]);
        string[] tooltips = FigureTests.Tooltips(figure.ToSvg());
        Assert.Contains("layer 99, position 999 ·token999: 99999", tooltips);
        Assert.InRange(tooltips.Length, 100_000, 101_000);
        Assert.InRange(figure.ToHtml().Length, 0, 16_000_000);
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(60));
        Assert.Equal(100_001, figure.ToCsv().AsSpan().Count('\n'));
        Assert.InRange(LabelCount(figure.ToSvg()), 60, 400); // every 20th token, every 5th layer
    }

    [Fact]
    public void MoreCells_AreAnImage()
    {
        Figure figure = Plots.Attention(Gallery.Patterns(12, 128));
        Assert.Equal(12, Regex.Count(figure.ToSvg(), "<image "));
        Assert.InRange(figure.ToSvg().Length, 0, 1_000_000);
        byte[] png = Convert.FromBase64String(DataUri().Match(figure.ToSvg()).Groups[1].Value);
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], png[..4]);
    }

    [Fact]
    public void Attention_NamesQueryAndKey()
    {
        Figure figure = Plots.Attention(new float[,] { { 0.25f, 0.75f } }, [" a", " b"]); // a step of a generation has one query
        Assert.Contains("head 0, ·b → ·a: 0.25", FigureTests.Tooltips(figure.ToSvg()));
        Assert.Equal("head,query,query token,key,key token,value\nhead 0,0, b,0, a,0.25\nhead 0,0, b,1, b,0.75\n", figure.ToCsv());
    }

    [Fact]
    public void LogitLens_HasTheLastLayerOnTop_AndTheNextTokensOnHover()
    {
        TensorData probabilities = TensorData.FromArray([0.5f, 0.25f, 0.875f, 0.125f], 2, 1, 2);
        TensorData ids = TensorData.FromArray([2L, 1, 1, 2], 2, 1, 2);
        Figure figure = Plots.LogitLens(probabilities, ids, Gallery.Tokenizer, ["of"]);
        Assert.Equal(["layer 1, after of\nParis  0.875\nRome  0.125", "layer 0, after of\nRome  0.5\nParis  0.25"],
            FigureTests.Tooltips(figure.ToSvg()).Where(t => t.StartsWith("layer", StringComparison.Ordinal)));
        Assert.Contains("the last layer predicts Paris with probability 0.875", figure.Description, StringComparison.Ordinal);
    }

    [Fact]
    public void Patching_ShowsThePartThatIsRestored()
    {
        Figure figure = Plots.Patching(new[,] { { -2.0, 0.5 }, { 3.0, -2.0 } }, [" a", " b"], clean: 3, corrupted: -2);
        Assert.Contains("layer 1, position 0 ·a: 1 restored\nmetric 3", FigureTests.Tooltips(figure.ToSvg()));
        Assert.Contains("layer 0, position 1 ·b: 0.5 restored\nmetric 0.5", FigureTests.Tooltips(figure.ToSvg()));
        Assert.Contains("largest restored part is 1 at layer 1, position 0 ·a", figure.Description, StringComparison.Ordinal);
        Assert.Equal("layer,position,token,value,restored", figure.ToCsv().Split('\n')[0]);
        Assert.Equal("layer,position,token,value", Plots.Patching(new[,] { { 1.0 } }).ToCsv().Split('\n')[0]);
        Assert.Throws<BadProgramException>(() => Plots.Patching(new[,] { { 1.0 } }, clean: 1));
        Assert.Throws<BadProgramException>(() => Plots.Patching(new[,] { { 1.0 } }, clean: 1, corrupted: 1));
    }

    [Fact]
    public void Lines_HaveGaps_WhereThereIsNoNumber()
    {
        string svg = Plots.Lines(new[] { 1, 2, double.NaN, 3, 4 }).ToSvg();
        string path = LinePath().Match(svg).Groups[1].Value;
        Assert.Equal((2, 2), (path.Count(c => c == 'M'), path.Count(c => c == 'L')));
        Assert.Equal(4, Regex.Count(svg, "<circle "));
    }

    [Fact]
    public void TextOfTokens_ShowsEachToken_WithItsScore()
    {
        Figure saliency = Plots.Saliency(new[] { 0.5, -0.25 }, ["a ", "<b>"]);
        Assert.Contains("title=\"1 &lt;b&gt;: score −0.25\"", saliency.ToHtml(), StringComparison.Ordinal);
        Assert.Contains("0 a·: score 0.5", FigureTests.Tooltips(saliency.ToSvg()));
        Figure generation = Plots.GenerationScores(new[] { 0.9, 0.1 }, ["in", " the", " city"]);
        Assert.Equal("position,token,probability\n0,in,\n1, the,0.9\n2, city,0.1\n", generation.ToCsv());
        Assert.Contains("<small>0.9</small>", generation.ToHtml(), StringComparison.Ordinal);
    }

    private static int LabelCount(string svg) => Regex.Count(svg, "<text ");

    [GeneratedRegex("data:image/png;base64,([^\"]+)")]
    private static partial Regex DataUri();

    [GeneratedRegex("<path d=\"([^\"]+)\"[^>]*stroke-linejoin")]
    private static partial Regex LinePath();
}
