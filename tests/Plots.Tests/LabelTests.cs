namespace Ndif.Drawing.Tests;

public sealed class LabelTests
{
    [Theory]
    [InlineData(" Paris", "·Paris")]
    [InlineData("a b ", "a b·")]
    [InlineData("  ", "··")]
    [InlineData("\n\t", "⏎⇥")]
    [InlineData("", "\"\"")]
    [InlineData("a\u200b\u202e\u0000", "a\\u200B\\u202E\\u0000")]
    [InlineData("\u00a0", "\\u00A0")]
    [InlineData("😀", "😀")]
    public void Visible_ShowsWhatAReaderCannotSee(string token, string visible) => Assert.Equal(visible, Label.Visible(token));

    [Fact]
    public void HalfOfAPair_IsShownByItsNumber() => Assert.Equal("\\uD83D", Label.Visible("\ud83d"));

    [Fact]
    public void Fit_KeepsWholeCharacters_WithinTheWidth()
    {
        Assert.Equal("short", Label.Fit("short", 100, 12));
        string cut = Label.Fit("👩‍👩‍👧‍👧👩‍👩‍👧‍👧👩‍👩‍👧‍👧 internationalization", 150, 12);
        Assert.EndsWith("…", cut, StringComparison.Ordinal);
        Assert.InRange(Label.Width(cut, 12), 0, 150);
        Assert.Equal("…", Label.Fit("long", 3, 12));
    }

    [Fact]
    public void TextOnACell_HasEnoughContrast()
    {
        foreach (Colormap map in new[] { Colormap.Viridis, Colormap.RedBlue, Colormap.Blues })
            for (double x = 0; x <= 1; x += 0.01) Assert.InRange(Contrast(map.At(x), map.At(x).Ink == "#fff" ? 1 : 0), 4.5, 21);
    }

    /// <summary>https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio</summary>
    private static double Contrast(Rgb color, double luminance)
    {
        static double Linear(byte c) => c / 255.0 <= 0.04045 ? c / 255.0 / 12.92 : Math.Pow(((c / 255.0) + 0.055) / 1.055, 2.4);
        double own = (0.2126 * Linear(color.R)) + (0.7152 * Linear(color.G)) + (0.0722 * Linear(color.B));
        return (Math.Max(own, luminance) + 0.05) / (Math.Min(own, luminance) + 0.05);
    }
}
