using Ndif.Tokenizers;

namespace Ndif.Drawing.Tests;

/// <summary>A figure of each kind, with values and tokens that are hard to draw.</summary>
internal static class Gallery
{
    public static readonly string[] Tokens =
    [
        "<|endoftext|>", "The", " Eiffel", " Tower\n", " \"is\" & 'in'", "<script>document.title='run'</script>", "\u202e\u0000", "日本語", "",
        " the",
    ];

    /// <summary>A tokenizer of ten words.</summary>
    public static readonly HuggingFaceTokenizer Tokenizer = HuggingFaceTokenizer.FromJson("""
        {"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,
        "decoder":null,"model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"Paris":1,"Rome":2,
        "<script>document.title='run'</script>":3,
        "of":4,"city":5,"in":6,"the":7,"is":8,"internationalization":9}}}
        """u8.ToArray());

    public static IReadOnlyDictionary<string, Func<Figure>> Figures { get; } = new Dictionary<string, Func<Figure>>
    {
        ["heat-map"] = () => Plots.HeatMap(Grid(12), Tokens, title: "Direct logit attribution", valueName: "logit difference"),
        ["attention"] = () => Plots.Attention(Patterns(4, 10), Tokens),
        ["attention-one-head"] = () => Plots.Attention(Patterns(1, 10), Tokens, title: "Layer 3, head 0"),
        ["attention-many-heads"] = () => Plots.Attention(Patterns(12, 24)),
        ["logit-lens"] = () => Plots.LogitLens(Probabilities(6, 10, 3), Ids(6, 10, 3), Tokenizer, Tokens),
        ["patching"] = () => Plots.Patching(Grid(4), Tokens, clean: 1.2, corrupted: -0.2),
        ["lines"] = () => Plots.Lines(Grid(8), labels: Tokens, title: "Norm", xName: "token", yName: "norm"),
        ["saliency"] = () => Plots.Saliency(Row(5, Tokens.Length), Tokens),
        ["generation"] = () => Plots.GenerationScores(new[] { 0.98, 0.4, 0.03, 1 }, Tokens),
    };

    /// <summary>Values of both signs, with each number that is not finite. [rows, 10]</summary>
    public static double[,] Grid(int rows)
    {
        var grid = new double[rows, Tokens.Length];
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < Tokens.Length; column++) grid[row, column] = Row(row, Tokens.Length)[column];
        (grid[1, 2], grid[2, 3], grid[2, 4]) = (double.NaN, double.PositiveInfinity, double.NegativeInfinity);
        return grid;
    }

    private static double[] Row(int row, int count) => [.. Enumerable.Range(0, count).Select(i => Math.Sin((0.7 * row) + i))];

    /// <summary>Causal attention. [heads, seq, seq]</summary>
    public static TensorData Patterns(int heads, int seq)
    {
        var pattern = new float[heads * seq * seq];
        for (int head = 0; head < heads; head++)
            for (int query = 0; query < seq; query++)
            {
                double[] scores = [.. Enumerable.Range(0, query + 1).Select(key => Math.Exp(2 * Math.Sin((head + 1) * (query - key + 1))))];
                for (int key = 0; key <= query; key++) pattern[(((head * seq) + query) * seq) + key] = (float)(scores[key] / scores.Sum());
            }
        return TensorData.FromArray(pattern, heads, seq, seq);
    }

    private static TensorData Probabilities(int layers, int seq, int k)
    {
        IEnumerable<float> numbers = Enumerable.Range(0, layers * seq * k)
            .Select(i => (float)((i / k / seq) + 1) / (layers + 1) / (1 + (2 * (i % k))));
        return TensorData.FromArray(numbers.ToArray(), layers, seq, k);
    }

    private static TensorData Ids(int layers, int seq, int k) =>
        TensorData.FromArray(Enumerable.Range(0, layers * seq * k).Select(i => i * 7L % 10).ToArray(), layers, seq, k);
}
