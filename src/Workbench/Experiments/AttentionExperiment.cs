using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Experiments;

/// <summary>The attention probabilities of one layer: how much each token (row) takes from each earlier one (column).</summary>
internal static class AttentionExperiment
{
    private const string Output = """
        TensorData shown = pattern[head].Tensor;                                           // [seq, kvSeq]
        for (int row = 0; row < shown.Shape[0]; row++)
            Console.WriteLine(string.Join(',', shown[row].ToArray<float>()));
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(string model, string prompt, int layer, int head) => ProgramText.Create(nameof(AttentionExperiment), model,
        [(nameof(prompt), prompt), (nameof(layer), layer), (nameof(head), head)], Output);

    /// <summary>Reads the pattern of a layer.</summary>
    /// <returns>The picture of each head.</returns>
    public static async Task<IReadOnlyList<HeatMap>> RunAsync(LanguageModel llm, string prompt, int layer, Run run)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        using var trace = llm.Trace(prompt);
        Saved pattern = llm.Layers[layer].AttentionProbabilities[0].Save();                // [heads, seq, kvSeq]
        // end
        run.Watch(trace);
        // program
        await trace.RunAsync(cancellationToken);
        // end
        IReadOnlyList<string> tokens = TokenTexts.GetHeadings(llm.Tokenizer, prompt);
        float[] values = pattern.ToArray<float>();
        int heads = (int)pattern.Tensor.Shape[0];
        return [.. Enumerable.Range(0, heads).Select(head => Draw(tokens, values, layer, head))];
    }

    private static HeatMap Draw(IReadOnlyList<string> tokens, float[] values, int layer, int head)
    {
        int count = tokens.Count;
        var cells = new HeatMapCell?[count, count];
        for (int row = 0; row < count; row++)
        {
            for (int column = 0; column < count; column++)
            {
                float value = values[((((head * count) + row) * count) + column)];
                cells[row, column] = new HeatMapCell(value, "", FormattableString.Invariant(
                    $"Head {head}: “{tokens[row]}” ({row}) attends to “{tokens[column]}” ({column}): {value:0.0000}"));
            }
        }
        return new HeatMap($"Attention of layer {layer}, head {head}: from each row's token to each column's", "from \\ to",
            tokens, tokens, cells);
    }
}
