using Ndif.Workbench.Pictures;

namespace Ndif.Workbench.Experiments;

/// <summary>
/// The logit lens (nostalgebraist, 2020): what each layer would predict at each position, by the final norm and the output projection on
/// its hidden state.
/// </summary>
internal static class LensExperiment
{
    private const string Output = """
        figure.Save("logit-lens.html");
        Console.WriteLine(figure);
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(string model, string prompt, int k) =>
        ProgramText.Create(nameof(LensExperiment), model, [(nameof(prompt), prompt), (nameof(k), k)], Output);

    /// <summary>Runs the lens.</summary>
    /// <param name="k">The number of likeliest tokens of each cell.</param>
    /// <param name="onRows">Receives the picture each time that layers were added to it.</param>
    public static async Task<Figure> RunAsync(LanguageModel llm, string prompt, int k, Run run, Action<HeatMap> onRows)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        string[] tokens = [.. llm.Tokenizer.Encode(prompt).Select(id => llm.Tokenizer.Decode(id))];
        using var trace = llm.Trace(prompt);
        var top = new List<Saved>(); // of each layer: values and ids [seq, k]
        foreach (Envoy layer in llm.Layers)
        {
            Value logits = llm.LmHead.Call(llm.FinalNorm.Call(layer.Hidden)); // [batch, seq, vocab]
            top.Add(logits[0].Softmax(-1).TopK(k).Save());
        }
        // end
        run.Watch(trace, () => onRows(Draw(llm, tokens, top, k)));
        // program
        await trace.RunAsync(cancellationToken);
        Figure figure = Plots.LogitLens(top, llm.Tokenizer, tokens);
        // end
        onRows(Draw(llm, tokens, top, k));
        return figure;
    }

    private static HeatMap Draw(LanguageModel llm, string[] tokens, List<Saved> top, int k)
    {
        var cells = new HeatMapCell?[top.Count, tokens.Length];
        for (int layer = 0; layer < top.Count; layer++)
        {
            if (!top[layer].HasValue) continue;
            float[] probabilities = ((Saved)top[layer][0]).ToArray<float>(); // [seq, k]
            long[] ids = ((Saved)top[layer][1]).ToArray<long>(); // [seq, k]
            for (int position = 0; position < tokens.Length; position++)
            {
                string[] texts = [.. ids.AsSpan(position * k, k).ToArray().Select(id => llm.Tokenizer.Decode((int)id))];
                IEnumerable<string> lines = texts.Select((text, i) => FormattableString.Invariant(
                    $"{TokenTexts.Quote(text)} {probabilities[(position * k) + i]:0.0000}"));
                cells[layer, position] = new HeatMapCell(probabilities[position * k], TokenTexts.Shorten(texts[0]),
                    $"Layer {layer}, after {TokenTexts.Quote(tokens[position])}:\n{string.Join("   ", lines)}");
            }
        }
        return new HeatMap("Probability of the likeliest next token", "layer",
            [.. Enumerable.Range(0, top.Count).Select(i => $"layer {i}")], [.. tokens.Select(TokenTexts.Shorten)], cells);
    }
}
