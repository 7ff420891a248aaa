using Ndif.Drawing;
using Ndif.Protocol;

namespace Ndif;

public static partial class Plots
{
    /// <summary>The saliency of tokens: the text, each token on a colour, with its number on hover.</summary>
    /// <param name="scores">One number for each token, for example a gradient's norm or gradient times input. [seq]</param>
    /// <param name="tokens">The tokens. [seq]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="valueName">What the numbers are.</param>
    /// <param name="scale">How numbers become colours; a sequential scale begins with white at zero.</param>
    /// <param name="range">The numbers at the ends of the colours; null for those of the values.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many tokens.</exception>
    public static Figure Saliency(
        PlotValues scores, IReadOnlyList<string> tokens, string title = "Saliency", string valueName = "score",
        ColorScale scale = ColorScale.Auto, (double Min, double Max)? range = null)
    {
        scores = scores.As(1, "A saliency", "[seq]");
        LabelsFor(tokens, scores.Elements.Length, "scores");
        return Text(scores, tokens, title, valueName, showsNumbers: false, ColorsOfText(scores.Elements, scale, range));
    }

    /// <summary>A generated text with the score of each new token: its probability or log-probability, as colour and as number.</summary>
    /// <param name="scores">One number for each of the last tokens, which were generated. [steps]</param>
    /// <param name="tokens">The tokens of prompt and continuation; those without a score are the prompt's. [seq]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="valueName">What the numbers are.</param>
    /// <param name="range">The numbers at the ends of the colours; null for 0 and 1 if all numbers are probabilities.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are fewer tokens than scores.</exception>
    public static Figure GenerationScores(
        PlotValues scores, IReadOnlyList<string> tokens, string title = "Generation", string valueName = "probability",
        (double Min, double Max)? range = null)
    {
        scores = scores.As(1, "The scores of a generation", "[steps]");
        if (tokens.Count < scores.Elements.Length)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"There are {scores.Elements.Length} scores for {tokens.Count} tokens.",
                "Give the tokens of the whole result; the scores belong to the last ones.");
        bool areProbabilities = scores.Elements.All(score => !(score < 0 || score > 1));
        return Text(scores, tokens, title, valueName, showsNumbers: true,
            ColorsOfText(scores.Elements, ColorScale.Sequential, range ?? (areProbabilities ? (0, 1) : null)));
    }

    private static ColorAxis ColorsOfText(double[] scores, ColorScale scale, (double Min, double Max)? range)
    {
        (double min, double max) = ColorAxis.FiniteRange(scores);
        return ColorAxis.For(scores, scale, range ?? (Math.Min(0, min), Math.Max(min < 0 ? min : 0, max)), Colormap.Blues);
    }

    private static Figure Text(
        PlotValues scores, IReadOnlyList<string> tokens, string title, string valueName, bool showsNumbers, ColorAxis colors)
    {
        double[] numbers = scores.Elements;
        int plain = tokens.Count - numbers.Length; // tokens without a score come first
        var text = new TokenText
        {
            Tokens = [.. tokens.Select((token, i) => new ScoredToken(Label.Visible(token), i < plain ? null : numbers[i - plain], i,
                token.EndsWith('\n')))],
            Colors = colors,
            ShowsNumbers = showsNumbers,
            ValueName = valueName,
            Note = NoteOn(numbers),
        };
        string description = $"{tokens.Count} tokens, {numbers.Length} with a {valueName}. "
            + Summarize(scores, i => $"token {plain + i} {text.Tokens[plain + i].Text}");
        var table = new DataTable(["position", "token", valueName], tokens.Count,
            i => [$"{i}", tokens[(int)i], i < plain ? "" : scores.ToText(numbers[i - plain])]);
        return new Figure(title, description, () => text.ToSvg(title, title.Length == 0 ? description : $"{title}. {description}"), table,
            () => text.ToHtml(title));
    }
}
