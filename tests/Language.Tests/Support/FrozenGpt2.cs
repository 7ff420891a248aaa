using Ndif.Dictionaries.Attribution;

namespace Ndif.Language.Tests.Support;

/// <summary>
/// A GPT-2 in double with the attention patterns and the scales of norms of one prompt, whose feed-forward outputs are given: an affine
/// function of embeddings and feed-forward outputs.
/// </summary>
internal sealed class FrozenGpt2
{
    private const int Hidden = 128;

    private readonly Dictionary<string, double[]> _weights = [];
    private readonly double[][,,] _patterns;                  // [layer][head, query, key]
    private readonly Dictionary<string, double[]> _scales = []; // by norm: one for each position
    private readonly int _seq;

    private FrozenGpt2(int layers, int seq) => (_patterns, _seq) = (new double[layers][,,], seq);

    /// <summary>What the prompt's pass had.</summary>
    public Sources Measured { get; private set; } = null!;

    /// <summary>The embeddings, and the output of each feed-forward module. [seq][hidden], [layers][seq][hidden]</summary>
    public sealed record Sources(double[][] Embedding, double[][][] Outputs)
    {
        /// <summary>No embeddings, and at each layer the same output at all positions.</summary>
        public Sources Only(IReadOnlyList<double[]> outputs) =>
            new(Map(Embedding, _ => 0), [.. Outputs.Select((output, layer) => output.Select(_ => outputs[layer]).ToArray())]);

        public Sources Without(AttributionNode node, double[] part)
        {
            Sources copy = new(Map(Embedding, v => v), [.. Outputs.Select(output => Map(output, v => v))]);
            double[] at = node.Kind is AttributionNodeKind.Embedding ? copy.Embedding[node.Position]
                : copy.Outputs[node.Layer][node.Position];
            for (int i = 0; i < at.Length; i++) at[i] -= part[i];
            return copy;
        }

        private static double[][] Map(double[][] rows, Func<double, double> f) => [.. rows.Select(row => row.Select(f).ToArray())];
    }

    /// <summary>What the feed-forward modules and the head read. [layers][seq][hidden], [seq][hidden]</summary>
    public sealed record Reads(double[][][] Mlp, double[][] Head);

    public static async Task<FrozenGpt2> ReadAsync(LanguageModel llm, string prompt, CancellationToken cancellationToken)
    {
        int layers = llm.Layers.Count;
        var frozen = new FrozenGpt2(layers, llm.Tokenizer.Encode(prompt).Count);
        Dictionary<string, Saved> weights = [], inputs = [];
        var patterns = new Saved[layers];
        var outputs = new Saved[layers];
        using Trace t = llm.Trace(prompt);
        Saved embedding = llm.Layers[0].Input.Save();
        foreach (string name in frozen.Norms(layers).SelectMany(norm => (string[])[$"{norm}.weight", $"{norm}.bias"]).Concat(
            Enumerable.Range(0, layers).SelectMany(i => (string[])[$"h.{i}.attn.c_attn.weight", $"h.{i}.attn.c_attn.bias",
                $"h.{i}.attn.c_proj.weight", $"h.{i}.attn.c_proj.bias"])))
            weights[name] = llm[$"transformer.{name[..name.LastIndexOf('.')]}"].Parameter(name[(name.LastIndexOf('.') + 1)..]).Save();
        weights["lm_head.weight"] = llm.LmHead.Parameter("weight").Save();
        for (int i = 0; i < layers; i++)
        {
            inputs[$"h.{i}.ln_1"] = llm[$"transformer.h.{i}.ln_1"].Input.Save();
            patterns[i] = llm.Layers[i].AttentionProbabilities.Save();
            inputs[$"h.{i}.ln_2"] = llm[$"transformer.h.{i}.ln_2"].Input.Save();
            outputs[i] = llm.Layers[i].Mlp.Output.Save();
        }
        inputs["ln_f"] = llm.FinalNorm.Input.Save();
        await t.RunAsync(cancellationToken);
        foreach (var (name, saved) in weights) frozen._weights[name] = saved.ToArray<double>();
        foreach (var (name, saved) in inputs)
        {
            frozen._scales[name] =
                [.. Rows(saved).Select(row => 1 / Math.Sqrt(row.Select(v => Math.Pow(v - row.Average(), 2)).Average() + 1e-5))];
        }
        for (int i = 0; i < layers; i++)
        {
            double[] flat = patterns[i].ToArray<double>();
            var pattern = frozen._patterns[i] = new double[4, frozen._seq, frozen._seq];
            Buffer.BlockCopy(flat, 0, pattern, 0, flat.Length * sizeof(double));
        }
        frozen.Measured = new Sources(Rows(embedding), [.. outputs.Select(output => Rows(output))]);
        return frozen;
    }

    public Reads Run(Sources sources)
    {
        double[][] stream = [.. sources.Embedding.Select(row => row.ToArray())];
        List<double[][]> mlp = [];
        for (int layer = 0; layer < _patterns.Length; layer++)
        {
            Add(stream, Attend(layer, Normalize($"h.{layer}.ln_1", stream)));
            mlp.Add(Normalize($"h.{layer}.ln_2", stream));
            Add(stream, sources.Outputs[layer]);
        }
        return new Reads([.. mlp], Normalize("ln_f", stream));
    }

    /// <summary>The logit of a token at the last position, above the mean of all.</summary>
    public double Logit(Reads reads, int token)
    {
        double[] head = _weights["lm_head.weight"], last = reads.Head[^1];
        double[] logits = [.. head.Chunk(Hidden).Select(row => row.Select((w, i) => w * last[i]).Sum())];
        return logits[token] - logits.Average();
    }

    private IEnumerable<string> Norms(int layers) =>
        Enumerable.Range(0, layers).SelectMany(i => (string[])[$"h.{i}.ln_1", $"h.{i}.ln_2"]).Append("ln_f");

    private double[][] Normalize(string norm, double[][] rows)
    {
        double[] weight = _weights[$"{norm}.weight"], bias = _weights[$"{norm}.bias"], scales = _scales[norm];
        return [.. rows.Select((row, position) =>
        {
            double mean = row.Average();
            return row.Select((v, i) => (v - mean) * scales[position] * weight[i] + bias[i]).ToArray();
        })];
    }

    private double[][] Attend(int layer, double[][] rows)
    {
        const int Heads = 4, HeadSize = Hidden / Heads;
        double[][] qkv = Project($"h.{layer}.attn.c_attn", rows);
        double[][] mixed = [.. rows.Select((_, query) => Enumerable.Range(0, Hidden).Select(i => Enumerable.Range(0, _seq).Sum(
            key => _patterns[layer][i / HeadSize, query, key] * qkv[key][2 * Hidden + i])).ToArray())];
        return Project($"h.{layer}.attn.c_proj", mixed);
    }

    private double[][] Project(string linear, double[][] rows) => [.. rows.Select(row =>
        SaeFolder.Multiply(row, _weights[$"{linear}.weight"]).Zip(_weights[$"{linear}.bias"], (a, b) => a + b).ToArray())];

    private static void Add(double[][] stream, double[][] rows)
    {
        for (int position = 0; position < stream.Length; position++)
            for (int i = 0; i < Hidden; i++) stream[position][i] += rows[position][i];
    }

    private static double[][] Rows(TensorData tensor) => [.. tensor.ToArray<double>().Chunk(Hidden)];
}
