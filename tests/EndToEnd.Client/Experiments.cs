using System.Globalization;

namespace Ndif.EndToEnd.Client;

/// <summary>
/// The experiments of the tests. The test process and the client process record them with the same source lines, so errors must name the
/// same line in both. The command line selects an experiment by its name and an optional number: `edit`, `generate:40`, `slow:1500`.
/// </summary>
public static class Experiments
{
    public const string Model = "ndif/tiny-landmarks";
    private const string Tower = "The Eiffel Tower is in the city of";
    private const int VocabSize = 1422, HiddenSize = 128, MaxPositions = 128;

    /// <summary>Prompts of different lengths; the number of an experiment selects one.</summary>
    private static readonly string[] _prompts =
    [
        Tower, "Big Ben is in the city of", "The Colosseum is in", "The Louvre is in the city of", "The Eiffel Tower is in", "Big Ben",
        "The",
        "The Brandenburg Gate is in the city of", "Where is the Eiffel Tower? It is in the city of",
    ];

    public static RecordedExperiment Record(string experiment, Backend backend, string model = Model)
    {
        var llm = new LanguageModel(model, remote: backend);
        (string name, int number) = experiment.Split(':') is [var first, var second]
            ? (first, int.Parse(second, CultureInfo.InvariantCulture)) : (experiment, 0);
        return name switch
        {
            "states" => States(llm),
            "edit" => Edit(llm),
            "prompt" => Prompt(llm, _prompts[number % _prompts.Length]),
            "generate" => Generate(llm, number),
            "rules" => Rules(llm, number),
            "stream" => Stream(llm, number),
            "slow" => Slow(llm, number),
            "endless" => Endless(llm),
            "large" => Large(llm, rows: number),
            "constant" => Constant(llm, rows: number),
            "constants" => Constants(llm, number),
            "logged" => Logged(llm),
            "late" => Late(llm),
            "shape" => Shape(llm),
            "index" => Index(llm),
            "missed" => Missed(llm),
            "tokens" => Tokens(llm),
            "poison" => Poison(llm),
            _ => throw new ArgumentException($"There is no experiment `{experiment}`."),
        };
    }

    private static RecordedExperiment States(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        return new RecordedExperiment(trace, [("hidden", llm["transformer.h"][^1].Output[0].Save()), ("logits", llm.LmHead.Output.Save())]);
    }

    /// <summary>Sets one column of an output to zero in place, and replaces the output of another module.</summary>
    private static RecordedExperiment Edit(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        llm["transformer.h.1.mlp"].Output[.., ^1] = 0;
        llm["transformer.h.2.attn.c_proj"].Output = llm["transformer.h.2.attn.c_proj"].Output * 0.5;
        return new RecordedExperiment(trace, [("logits", llm.LmHead.Output.Save())]);
    }

    private static RecordedExperiment Prompt(LanguageModel llm, string prompt)
    {
        Trace trace = llm.Trace(prompt);
        return new RecordedExperiment(trace, [("logits", llm.LmHead.Output[.., ^1].Save())]);
    }

    private static RecordedExperiment Generate(LanguageModel llm, int tokens)
    {
        Trace trace = llm.Generate(Tower, tokens);
        return new RecordedExperiment(trace, [("ids", trace.Result.Save())]);
    }

    /// <summary>Prompts of different lengths, each with rules of its own for the tokens that may be chosen.</summary>
    private static RecordedExperiment Rules(LanguageModel llm, int tokens)
    {
        Trace trace = llm.Generate(maxNewTokens: tokens, options: new() { SuppressTokens = [1, 2, 3], ForcedEosTokenIds = [5, 6] });
        List<(string, Saved)> saves = [];
        for (int i = 0; i < 6; i++)
        {
            GenerationOptions rules = i switch
            {
                0 => new() { BeginSuppressTokens = [.. Enumerable.Range(0, 700)], MaxNewTokens = 4 },
                1 => new() { BadWordsIds = [[.. Enumerable.Range(100, 1)], [16], [17, 18]], MinLength = 9 },
                2 => new() { SequenceBias = [([20], 6.5), ([20, 21], -3)], EncoderRepetitionPenalty = 1.5, EncoderNoRepeatNgramSize = 2 },
                3 => new() { SuppressTokens = [], ExponentialDecayLengthPenalty = (2, 1.3), RenormalizeLogits = true },
                4 => new() { Seed = 3, EpsilonCutoff = 0.001, EtaCutoff = 0.001, TopH = 0.8, RemoveInvalidValues = true },
                _ => new() { ForcedBosTokenId = 9, ForcedEosTokenIds = [] },
            };
            using (trace.Invoke(_prompts[i], rules)) saves.Add(($"ids{i}", trace.Result.Save()));
        }
        return new RecordedExperiment(trace, saves);
    }

    /// <summary>Samples tokens and streams them, with a log line in the middle of the generation.</summary>
    private static RecordedExperiment Stream(LanguageModel llm, int tokens)
    {
        Trace trace = llm.Generate(Tower, tokens, new() { Temperature = 1.5, TopK = 0, Seed = 12, IgnoreEos = true, Stream = true });
        foreach (int step in trace.Iter[tokens / 2]) trace.Log("half", llm.LmHead.Output.Shape[1]);
        return new RecordedExperiment(trace, [("ids", trace.Result.Save())]);
    }

    /// <summary>
    /// Saves a value, runs a number of operations on four million elements (a few milliseconds each), and saves another value.
    /// </summary>
    private static RecordedExperiment Slow(LanguageModel llm, int operations)
    {
        Trace trace = llm.Trace(Tower);
        Saved early = llm["transformer.h.0"].Hidden.Save("early");
        Value column = TensorData.FromArray(Enumerable.Range(1, 2048).Select(i => (float)i).ToArray(), 2048, 1);
        Value row = TensorData.FromArray(Enumerable.Range(1, 2048).Select(i => 1f / i).ToArray(), 1, 2048);
        Value product = llm["transformer.h.1"].Hidden[0, 0, 0] * 0 + column * row;
        for (int i = 0; i < operations; i++) product = product * 1.000001;
        return new RecordedExperiment(trace, [("early", early), ("late", product[^1, ..64].Save("late"))]);
    }

    /// <summary>Runs for minutes, so that a test can cancel it.</summary>
    private static RecordedExperiment Endless(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        Value column = TensorData.FromArray(Enumerable.Repeat(1f, 1024).ToArray(), 1024, 1);
        Value square = llm["transformer.h.1"].Hidden[0, 0, 0] * 0
            + column * (1f / 1024) * column.MatMul(TensorData.FromArray(Enumerable.Repeat(1f, 1024).ToArray(), 1, 1024));
        Value product = square;
        for (int i = 0; i < 3000; i++) product = product.MatMul(square);
        return new RecordedExperiment(trace, [("product", product[0, 0].Save())]);
    }

    /// <summary>Logs a line, and then uses a constant of 4 MB.</summary>
    private static RecordedExperiment Logged(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        Value first = llm["transformer.h.1"].Hidden[0, 0, 0];
        trace.Log("before the constant");
        Saved sum = (first * TensorData.FromArray(Enumerable.Repeat(1f, 1 << 20).ToArray(), 1 << 20)).Sum().Save("sum");
        return new RecordedExperiment(trace, [("sum", sum)]);
    }

    /// <summary>Runs rows of the maximum length, and saves the hidden states of every layer and the logits (0.7 MB per row).</summary>
    private static RecordedExperiment Large(LanguageModel llm, int rows)
    {
        Trace trace = llm.Trace(Ids(rows));
        List<(string, Saved)> saves = [];
        for (int layer = 0; layer < 4; layer++) saves.Add(($"hidden{layer}", llm["transformer.h"][layer].Hidden.Save()));
        saves.Add(("logits", llm.LmHead.Output.Save()));
        return new RecordedExperiment(trace, saves);
    }

    /// <summary>Uses a constant of 64 KB per row in place of a layer's output and as a factor.</summary>
    private static RecordedExperiment Constant(LanguageModel llm, int rows)
    {
        var numbers = new float[rows * MaxPositions * HiddenSize];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = ((i * 7919L % 2003) - 1001) / 500f;
        var constant = TensorData.FromArray(numbers, rows, MaxPositions, HiddenSize);
        Trace trace = llm.Trace(Ids(rows));
        llm["transformer.h.1"].Hidden = constant;
        Saved product = (llm["transformer.h.2"].Hidden * constant)[.., ^1].Save();
        return new RecordedExperiment(trace, [("product", product), ("logits", llm.LmHead.Output[.., ^1].Save())]);
    }

    /// <summary>
    /// Adds up the first elements of a number of constants. Each constant has 1 MiB, the largest size that is sent inline.
    /// </summary>
    private static RecordedExperiment Constants(LanguageModel llm, int count)
    {
        Trace trace = llm.Trace(Tower);
        Value sum = llm["transformer.h.1"].Hidden[0, 0, 0];
        for (int i = 0; i < count; i++)
        {
            var numbers = new float[1 << 18];
            Array.Fill(numbers, i + 0.5f);
            sum += ((Value)TensorData.FromArray(numbers))[0];
        }
        return new RecordedExperiment(trace, [("sum", sum.Save())]);
    }

    private static RecordedExperiment Late(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        Saved later = llm["transformer.h.3"].Hidden.Save();
        Saved tooLate = llm["transformer.h.1"].Hidden.Save();
        return new RecordedExperiment(trace, [("later", later), ("tooLate", tooLate)]);
    }

    private static RecordedExperiment Shape(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        Value wrong = TensorData.FromArray([1f, 2f, 3f]);
        return new RecordedExperiment(trace, [("sum", (llm["transformer.h.0"].Hidden + wrong).Save())]);
    }

    private static RecordedExperiment Index(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        return new RecordedExperiment(trace, [("row", llm["transformer.h.0"].Hidden[0, 999].Save())]);
    }

    private static RecordedExperiment Missed(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        llm["transformer.h.1"].Skip(llm["transformer.h.0"].Output);
        return new RecordedExperiment(trace, [("inside", llm["transformer.h.1.mlp"].Output.Save())]);
    }

    private static RecordedExperiment Tokens(LanguageModel llm)
    {
        Trace trace = llm.Trace(new[] { 1, 2, VocabSize });
        return new RecordedExperiment(trace, [("logits", llm.LmHead.Output.Save())]);
    }

    /// <summary>Replaces a layer's output with one whose shape the next layer does not accept.</summary>
    private static RecordedExperiment Poison(LanguageModel llm)
    {
        Trace trace = llm.Trace(Tower);
        llm["transformer.h.1"].Hidden = llm["transformer.h.1"].Hidden[.., .., ..64];
        return new RecordedExperiment(trace, [("logits", llm.LmHead.Output.Save())]);
    }

    /// <summary>Rows of token ids of the maximum length, all different.</summary>
    private static int[][] Ids(int rows) =>
        [.. Enumerable.Range(0, rows)
            .Select(row => Enumerable.Range(0, MaxPositions).Select(at => 1 + (row * 131 + at * 17) % (VocabSize - 1)).ToArray())];
}
