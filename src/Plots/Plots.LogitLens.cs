using Ndif.Drawing;
using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif;

public static partial class Plots
{
    /// <summary>With more columns there is no room for the texts of tokens; they are shown on hover.</summary>
    private const int MostColumnsWithText = 40;

    /// <summary>
    /// A logit lens (nostalgebraist, 2020): the likeliest next token that each layer would predict at each position, its probability as
    /// colour, and the next likely ones on hover. The last layer is on top.
    /// </summary>
    /// <param name="topK">
    /// What <c>TopK</c> of the probabilities returned, saved, for each layer:
    /// <c>llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden)).Softmax(-1).TopK(5).Save()</c>. Both parts [seq, k]
    /// </param>
    /// <param name="tokenizer">Decodes the ids: <c>llm.Tokenizer</c>.</param>
    /// <param name="tokens">The tokens of the prompt; null for their positions. [seq]</param>
    /// <param name="rows">The names of the layers; null for their numbers. [layers]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many tokens or names.</exception>
    public static Figure LogitLens(
        IEnumerable<Saved> topK, HuggingFaceTokenizer tokenizer, IReadOnlyList<string>? tokens = null,
        IReadOnlyList<string>? rows = null, string title = "Logit lens")
    {
        const string Picture = "A layer of a logit lens";
        Saved[] layers = [.. topK];
        PlotValues Part(int index) => PlotValues.Stack([.. layers.Select(layer => layer.Result is object?[] { Length: 2 } parts
            ? PlotValues.From(parts[index]).As(2, Picture, "[seq, k]")
            : throw Errors.CreateException(ErrorCode.BadArgument, $"{Picture} takes the two parts that TopK returns, not {layer}.",
                "Save `probabilities.TopK(5)` of each layer."))], layers.Length);
        return LogitLens(Part(0), Part(1), tokenizer, tokens, rows, title);
    }

    /// <inheritdoc cref="LogitLens(IEnumerable{Saved}, HuggingFaceTokenizer, IReadOnlyList{string}?, IReadOnlyList{string}?, string)"/>
    /// <param name="probabilities">The probabilities, the largest first. [layers, seq, k]</param>
    /// <param name="ids">The token ids that have them. [layers, seq, k]</param>
    public static Figure LogitLens(
        PlotValues probabilities, PlotValues ids, HuggingFaceTokenizer tokenizer, IReadOnlyList<string>? tokens = null,
        IReadOnlyList<string>? rows = null, string title = "Logit lens")
    {
        probabilities = probabilities.As(3, "A logit lens", "[layers, seq, k]");
        ids = ids.As(3, "A logit lens", "[layers, seq, k]");
        if (!probabilities.Shape.AsSpan().SequenceEqual(ids.Shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch, $"There are probabilities [{string.Join(", ", probabilities.Shape)}] "
                + $"for token ids [{string.Join(", ", ids.Shape)}].", "Both are parts of one TopK.");
        (int layers, int seq, int k) = (probabilities.Shape[0], probabilities.Shape[1], probabilities.Shape[2]);
        string[] rowLabels = LabelsFor(rows, layers, "layers"), columnLabels = LabelsFor(tokens, seq, "tokens");
        string[] texts = [.. tokenizer.BatchDecode(ids.Elements.Select(id => (int)id)).Select(Label.Visible)];
        double[] best = [.. Enumerable.Range(0, layers * seq).Select(i => probabilities.Elements[i * k])];
        string PlaceOf(int i) => $"{NameOf("layer", i / seq, rowLabels, rows is not null)}, after {columnLabels[i % seq]}";

        int last = ((layers - 1) * seq) + seq - 1;
        string description = $"Logit lens of {layers} layers and {seq} positions. After the last token, the last layer predicts "
            + $"{texts[last * k]} with probability {Markup.Number(best[last])}.";
        bool hasText = seq <= MostColumnsWithText;
        int LayerOf(int row) => layers - 1 - row; // the last layer is on top
        var grid = new CellGrid
        {
            Values = Enumerable.Range(0, layers).SelectMany(row => best.Skip(LayerOf(row) * seq).Take(seq)).ToArray(),
            Colors = ColorAxis.For(best, ColorScale.Sequential, (0, 1)),
            Rows = [.. rowLabels.Reverse()],
            Columns = columnLabels,
            CellWidth = hasText ? Math.Clamp(Math.Floor((PageWidth - 200) / seq), 62, 88) : CellSize(PageWidth - 200, seq, most: 20),
            CellHeight = hasText ? 26 : CellSize(560, layers, most: 26),
            RowName = "layer",
            ColumnName = "predictions after this token",
            CellText = hasText ? (row, column) => texts[((LayerOf(row) * seq) + column) * k] : null,
            Tooltip = (row, column) => (LayerOf(row) * seq) + column is var i ? PlaceOf(i) + string.Concat(Enumerable.Range(i * k, k)
                .Select(j => $"\n{texts[j]}  {Markup.Number(probabilities.Elements[j])}")) : "",
        };
        var table = new DataTable(["layer", "position", "token", "rank", "prediction", "probability"], ids.Elements.Length, i =>
            [rowLabels[i / k / seq], $"{i / k % seq}", tokens?[(int)(i / k % seq)] ?? "", $"{i % k}",
                tokenizer.Decode((int)ids.Elements[i]), probabilities.ToText(probabilities.Elements[i])]);
        return new Figure(title, description, () => DrawGrid(grid, title, description, "probability", NoteOn(best)), table);
    }
}
