using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Experiments;

/// <summary>
/// Activation patching (Meng et al., 2022; Wang et al., 2022): the hidden state of the clean run is put into the corrupted run, one layer
/// and token at a time. The picture shows how much of the difference between two answers comes back: 0 for none, 1 for all.
/// </summary>
internal static class PatchingExperiment
{
    private const string Output = """
        double from = corruptedDifference.Item<float>(), to = cleanDifference.Item<float>();
        for (int layer = 0; layer < rows.Length; layer++)
            Console.WriteLine($"layer {layer}," + string.Join(',', rows[layer].ToArray<float>().Select(value => (value - from) / (to - from))));
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(string model, string clean, string corrupted, string answer, string otherAnswer) =>
        ProgramText.Create(nameof(PatchingExperiment), model,
            [(nameof(clean), clean), (nameof(corrupted), corrupted), (nameof(answer), answer), (nameof(otherAnswer), otherAnswer)], Output);

    /// <summary>Patches every layer at every token.</summary>
    /// <param name="answer">The answer to the clean prompt, with its leading space; its first token counts.</param>
    /// <param name="otherAnswer">The answer to the corrupted prompt.</param>
    /// <param name="onRows">Receives the picture each time that a row was added to it.</param>
    public static async Task RunAsync(
        LanguageModel llm, string clean, string corrupted, string answer, string otherAnswer, Run run, Action<HeatMap> onRows)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        int tokens = llm.Tokenizer.Encode(corrupted).Count;
        int answerId = FirstToken(answer), otherId = FirstToken(otherAnswer);
        using var session = llm.Session();                                                 // all runs are one job
        var hidden = new Value[llm.Layers.Count];                                          // of each layer [batch, seq, hidden]
        var rows = new Saved[llm.Layers.Count];                                            // of each layer: a difference for each token [seq]
        Saved cleanDifference, corruptedDifference;
        using (llm.Trace(clean))
        {
            for (int layer = 0; layer < hidden.Length; layer++) hidden[layer] = llm.Layers[layer].Hidden.Clone();
            cleanDifference = LogitDifference().Save();
        }
        using (llm.Trace(corrupted)) corruptedDifference = LogitDifference().Save();
        for (int layer = 0; layer < rows.Length; layer++)
        {
            using (llm.Trace(Enumerable.Repeat(corrupted, tokens).ToArray()))              // row i is patched at token i
            {
                for (int i = 0; i < tokens; i++) llm.Layers[layer].Hidden[i, i] = hidden[layer][0, i];
                rows[layer] = LogitDifference().Save();
            }
        }
        // end
        IReadOnlyList<string> headings = TokenTexts.GetHeadings(llm.Tokenizer, corrupted);
        run.Watch(session, () => onRows(Draw(headings, cleanDifference, corruptedDifference, rows)));
        // program
        await session.RunAsync(cancellationToken);

        int FirstToken(string text) => llm.Tokenizer.Encode(text, addSpecialTokens: false)[0];
        Value LogitDifference() => llm.Logits[.., ^1, answerId] - llm.Logits[.., ^1, otherId];    // [batch]
        // end
        onRows(Draw(headings, cleanDifference, corruptedDifference, rows));
    }

    private static HeatMap Draw(IReadOnlyList<string> tokens, Saved clean, Saved corrupted, Saved[] rows)
    {
        var cells = new HeatMapCell?[rows.Length, tokens.Count];
        for (int layer = 0; layer < rows.Length; layer++)
        {
            if (!rows[layer].HasValue || !clean.HasValue || !corrupted.HasValue) continue;
            double from = corrupted.Item<float>(), to = clean.Item<float>();
            float[] differences = rows[layer].ToArray<float>(); // [seq]
            for (int i = 0; i < tokens.Count; i++)
            {
                double restored = (differences[i] - from) / (to - from);
                cells[layer, i] = new HeatMapCell(restored, FormattableString.Invariant($"{restored:0.00}"), FormattableString.Invariant(
                    $"Layer {layer}, “{tokens[i]}” ({i}): {restored:0.000} restored\nLogit difference {differences[i]:0.000}; corrupted {from:0.000}, clean {to:0.000}"));
            }
        }
        return new HeatMap("Part of the answers' logit difference that the clean hidden state restores", "layer",
            [.. Enumerable.Range(0, rows.Length).Select(i => $"layer {i}")], tokens, cells);
    }
}
