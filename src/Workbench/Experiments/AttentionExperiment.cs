using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Experiments;

/// <summary>The attention probabilities of one layer: how much each token (row) takes from each earlier one (column).</summary>
internal static class AttentionExperiment
{
    private const string Output = """
        figure.Save("attention.html");
        Console.WriteLine(figure);
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(string model, string prompt, int layer) => ProgramText.Create(nameof(AttentionExperiment), model,
        [(nameof(prompt), prompt), (nameof(layer), layer)], Output);

    /// <summary>Reads the pattern of a layer.</summary>
    /// <returns>The picture of each head, and that of all heads as a file.</returns>
    public static async Task<(IReadOnlyList<HeatMap> Heads, Figure Figure)> RunAsync(LanguageModel llm, string prompt, int layer, Run run)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        string[] tokens = [.. llm.Tokenizer.Encode(prompt).Select(id => llm.Tokenizer.Decode(id))];
        using var trace = llm.Trace(prompt);
        Saved pattern = llm.Layers[layer].AttentionProbabilities[0].Save(); // [heads, seq, kvSeq]
        // end
        run.Watch(trace);
        // program
        await trace.RunAsync(cancellationToken);
        Figure figure = Plots.Attention(pattern, tokens, title: $"Attention of layer {layer}");
        // end
        float[] values = pattern.ToArray<float>();
        int heads = (int)pattern.Tensor.Shape[0];
        return ([.. Enumerable.Range(0, heads).Select(head => Draw(tokens, values, layer, head))], figure);
    }

    private static HeatMap Draw(string[] tokens, float[] values, int layer, int head)
    {
        int count = tokens.Length;
        var cells = new HeatMapCell?[count, count];
        for (int row = 0; row < count; row++)
        {
            for (int column = 0; column < count; column++)
            {
                float value = values[(((head * count) + row) * count) + column];
                string from = $"{TokenTexts.Quote(tokens[row])} ({row})", to = $"{TokenTexts.Quote(tokens[column])} ({column})";
                cells[row, column] =
                    new HeatMapCell(value, "", FormattableString.Invariant($"Head {head}: {from} attends to {to}: {value:0.0000}"));
            }
        }
        string[] headings = [.. tokens.Select(TokenTexts.Shorten)];
        return new HeatMap(
            $"Attention of layer {layer}, head {head}: from each row's token to each column's", "from \\ to", headings, headings, cells);
    }
}
