using System.Globalization;
using Ndif.Drawing;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// Pictures of what a run returned, each from one call: heat maps, attention patterns, logit lenses, patching results, lines over layers,
/// and tokens with scores as coloured text.
/// </summary>
/// <remarks>
/// Values are given as they were saved (see <see cref="PlotValues"/>). Tokens are texts, for example
/// <c>llm.Tokenizer.BatchDecode(llm.Tokenizer.Encode(prompt))</c>; spaces and line feeds in them are made visible. NaN is drawn in grey
/// with a cross, infinite numbers in the colour of the end of the scale with a sign.
/// </remarks>
public static partial class Plots
{
    /// <summary>The width of most pictures in pixels: that of a page.</summary>
    private const double PageWidth = 1040;

    private const double Margin = 14, TitleHeight = 30;

    /// <summary>The labels of one dimension: those given, made visible, or numbers from 0.</summary>
    private static string[] LabelsFor(IReadOnlyList<string>? labels, int count, string dimension)
    {
        if (labels is null) return [.. Enumerable.Range(0, count).Select(i => i.ToString(CultureInfo.InvariantCulture))];
        if (labels.Count != count)
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"There are {labels.Count} labels for {count} {dimension}.",
                "Give one label for each; tokens are those of the prompt that was run, with its special tokens.");
        return [.. labels.Select(Label.Visible)];
    }

    /// <summary>A place as a tooltip names it: <c>layer 3</c>, or the label where there is one.</summary>
    private static string NameOf(string dimension, int index, string[] labels, bool isLabelled) =>
        isLabelled ? labels[index] : $"{dimension} {index}";

    /// <summary>What of the numbers cannot be a colour or a point, as a sentence; empty if all can.</summary>
    private static string NoteOn(double[] values)
    {
        int missing = values.Count(double.IsNaN), infinite = values.Count(double.IsInfinity);
        return missing + infinite == 0 ? "" : $"Not finite: {missing} NaN (×), {infinite} infinite (∞).";
    }

    /// <summary>The range of the numbers and the place of the largest, as sentences.</summary>
    private static string Summarize(PlotValues values, Func<int, string> placeOf)
    {
        double[] numbers = values.Elements;
        (double min, double max) = ColorAxis.FiniteRange(numbers);
        int best = Array.IndexOf(numbers, max);
        string note = NoteOn(numbers);
        string range = best < 0 ? "No finite values."
            : $"Values from {Markup.Number(min)} to {Markup.Number(max)}; the largest is at {placeOf(best)}.";
        return note.Length == 0 ? range : $"{range} {note}";
    }

    /// <summary>The document, wide enough for its title.</summary>
    private static string Finish(SvgCanvas canvas, double width, double height, string title, string description) =>
        canvas.ToDocument(Math.Max(width, Label.Width(title, SvgCanvas.TitleSize) + (2 * Margin)), height,
            title.Length == 0 ? description : $"{title}. {description}");

    /// <summary>The title above a picture, if it has one; returns where the picture begins.</summary>
    private static double DrawTitle(SvgCanvas canvas, string title)
    {
        if (title.Length == 0) return Margin;
        canvas.Text(Margin, Margin + SvgCanvas.TitleSize, title, size: SvgCanvas.TitleSize, isBold: true);
        return Margin + TitleHeight;
    }
}
