using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Experiments;

/// <summary>
/// Activation patching (Meng et al., 2022; Wang et al., 2022): the hidden state of the clean run is put into the corrupted run, one layer
/// and token at a time. The picture shows how much of the difference between two answers comes back: 0 for none, 1 for all.
/// </summary>
internal static class PatchingExperiment
{
    private const string Output = """
        figure.Save("activation-patching.html");
        Console.WriteLine(figure);
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(string model, string clean, string corrupted, string answer, string otherAnswer) =>
        ProgramText.Create(nameof(PatchingExperiment), model,
            [(nameof(clean), clean), (nameof(corrupted), corrupted), (nameof(answer), answer), (nameof(otherAnswer), otherAnswer)], Output);

    /// <summary>Patches every layer at every token.</summary>
    /// <param name="answer">The answer to the clean prompt, with its leading space; its first token counts.</param>
    /// <param name="otherAnswer">The answer to the corrupted prompt.</param>
    /// <param name="onRows">Receives the picture each time that a row was added to it.</param>
    public static async Task<Figure> RunAsync(
        LanguageModel llm, string clean, string corrupted, string answer, string otherAnswer, Run run, Action<HeatMap> onRows)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        string[] tokens = [.. llm.Tokenizer.Encode(corrupted).Select(id => llm.Tokenizer.Decode(id))];
        int answerId = FirstToken(answer), otherId = FirstToken(otherAnswer);
        using var session = llm.Session(); // all runs are one job
        var hidden = new Value[llm.Layers.Count]; // of each layer [batch, seq, hidden]
        var rows = new Saved[llm.Layers.Count]; // of each layer: a difference for each token [seq]
        Saved cleanDifference, corruptedDifference;
        using (llm.Trace(clean))
        {
            for (int layer = 0; layer < hidden.Length; layer++) hidden[layer] = llm.Layers[layer].Hidden.Clone();
            cleanDifference = LogitDifference().Save();
        }
        using (llm.Trace(corrupted)) corruptedDifference = LogitDifference().Save();
        for (int layer = 0; layer < rows.Length; layer++)
        {
            using (llm.Trace(Enumerable.Repeat(corrupted, tokens.Length).ToArray())) // row i is patched at token i
            {
                for (int i = 0; i < tokens.Length; i++) llm.Layers[layer].Hidden[i, i] = hidden[layer][0, i];
                rows[layer] = LogitDifference().Save();
            }
        }
        // end
        run.Watch(session, () => onRows(Draw(tokens, cleanDifference, corruptedDifference, rows)));
        // program
        await session.RunAsync(cancellationToken);
        Figure figure = Plots.Patching(rows, tokens, cleanDifference, corruptedDifference);

        int FirstToken(string text) => llm.Tokenizer.Encode(text, addSpecialTokens: false)[0];
        Value LogitDifference() => llm.Logits[.., ^1, answerId] - llm.Logits[.., ^1, otherId]; // [batch]
        // end
        onRows(Draw(tokens, cleanDifference, corruptedDifference, rows));
        return figure;
    }

    private static HeatMap Draw(string[] tokens, Saved clean, Saved corrupted, Saved[] rows)
    {
        var cells = new HeatMapCell?[rows.Length, tokens.Length];
        for (int layer = 0; layer < rows.Length; layer++)
        {
            if (!rows[layer].HasValue || !clean.HasValue || !corrupted.HasValue) continue;
            double from = corrupted.Item<float>(), to = clean.Item<float>();
            float[] differences = rows[layer].ToArray<float>(); // [seq]
            for (int i = 0; i < tokens.Length; i++)
            {
                double restored = (differences[i] - from) / (to - from);
                string text = FormattableString.Invariant($"{Math.Round(restored, 2) + 0.0:0.00}"); // -0.001 is 0.00
                cells[layer, i] = new HeatMapCell(restored, text,
                    FormattableString.Invariant($"Layer {layer}, {TokenTexts.Quote(tokens[i])} ({i}): {restored:0.000} restored\n")
                    + FormattableString.Invariant($"Logit difference {differences[i]:0.000}; corrupted {from:0.000}, clean {to:0.000}"));
            }
        }
        return new HeatMap("Part of the answers' logit difference that the clean hidden state restores", "layer",
            [.. Enumerable.Range(0, rows.Length).Select(i => $"layer {i}")], [.. tokens.Select(TokenTexts.Shorten)], cells);
    }
}
