using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

/// <summary>
/// The building blocks of transformers in plain loops over doubles, one token at a time. Models are compared with it where there are no
/// reference outputs. A sequence is an array with one vector for each token.
/// </summary>
internal sealed class ReferenceMath
{
    private readonly Dictionary<string, (double[] Numbers, int[] Shape)> _weights;

    public ReferenceMath(Dictionary<string, Tensor> weights) => _weights = weights.ToDictionary(w => w.Key, w =>
        (w.Value.to(ScalarType.Float64).data<double>().ToArray(), Array.ConvertAll(w.Value.shape, s => (int)s)));

    public double[][] Rows(string table, IEnumerable<long> ids) => [.. ids.Select(id => Row(table, (int)id))];

    /// <summary>All numbers of a weight.</summary>
    public double[] Vector(string name) => _weights[name].Numbers;

    private double[] Row(string table, int row)
    {
        var (numbers, shape) = _weights[table];
        return numbers[(row * shape[1])..((row + 1) * shape[1])];
    }

    /// <summary>
    /// W x, plus a bias if there is one. The weight is [outFeatures, inFeatures], or one expert of [experts, outFeatures, inFeatures].
    /// </summary>
    public double[] Linear(double[] x, string weight, string? bias = null, int part = 0, int from = 0, int count = -1)
    {
        var (numbers, shape) = _weights[weight];
        (int outputs, int inputs) = (shape[^2], shape[^1]);
        Assert.Equal(inputs, x.Length);
        if (count < 0) count = outputs - from;
        var y = new double[count];
        for (int o = 0; o < count; o++)
        {
            for (int i = 0; i < inputs; i++) y[o] += numbers[(part * outputs + from + o) * inputs + i] * x[i];
            if (bias is not null && _weights.TryGetValue(bias, out var b)) y[o] += b.Numbers[from + o];
        }
        return y;
    }

    public double[][] Linear(double[][] x, string module) => [.. x.Select(t => Linear(t, module + ".weight", module + ".bias"))];

    /// <summary>The same with a weight [inFeatures, outFeatures].</summary>
    public double[][] Conv1D(double[][] x, string module)
    {
        var (numbers, shape) = _weights[module + ".weight"];
        double[] bias = _weights[module + ".bias"].Numbers;
        return [.. x.Select(t => Enumerable.Range(0, shape[1]).Select(o =>
            bias[o] + Enumerable.Range(0, shape[0]).Sum(i => numbers[i * shape[1] + o] * t[i])).ToArray())];
    }

    public double[][] LayerNorm(double[][] x, string module, double epsilon = 1e-5) => [.. x.Select(t => LayerNorm(t, module, epsilon))];

    public double[] LayerNorm(double[] x, string module, double epsilon = 1e-5)
    {
        double mean = x.Average(), deviation = Math.Sqrt(x.Sum(v => (v - mean) * (v - mean)) / x.Length + epsilon);
        return Affine([.. x.Select(v => (v - mean) / deviation)], module, 0);
    }

    /// <param name="plus">Added to the weights: 1 in Gemma.</param>
    public double[][] RMSNorm(double[][] x, string module, double epsilon = 1e-6, double plus = 0) => [.. x.Select(t =>
    {
        double root = Math.Sqrt(t.Sum(v => v * v) / t.Length + epsilon);
        return Affine([.. t.Select(v => v / root)], module, plus);
    })];

    private double[] Affine(double[] x, string module, double plus)
    {
        if (!_weights.TryGetValue(module + ".weight", out var weight)) return x;
        double[]? bias = _weights.TryGetValue(module + ".bias", out var b) ? b.Numbers : null;
        return [.. x.Select((v, i) => v * (weight.Numbers[i] + plus) + (bias?[i] ?? 0))];
    }

    /// <summary>Causal softmax attention.</summary>
    /// <param name="q">[seq, heads · headDim]</param>
    /// <param name="k">[seq, kvHeads · headDim]; each kv head serves heads / kvHeads heads.</param>
    /// <param name="window">The number of tokens that a token attends to, including itself.</param>
    /// <param name="cap">Limits the scores to the range from -cap to cap with tanh.</param>
    /// <param name="bias">The value that is added to the score, given head and key.</param>
    public static double[][] Attend(double[][] q, double[][] k, double[][] v, int heads, int kvHeads, double scale,
        int window = int.MaxValue,
        double? cap = null, Func<int, int, double>? bias = null)
    {
        int width = q[0].Length / heads;
        var output = new double[q.Length][];
        for (int i = 0; i < q.Length; i++)
        {
            output[i] = new double[heads * width];
            for (int head = 0; head < heads; head++)
            {
                int group = head / (heads / kvHeads), first = Math.Max(0, window == int.MaxValue ? 0 : i - window + 1);
                var scores = new double[i + 1];
                for (int j = first; j <= i; j++)
                {
                    for (int d = 0; d < width; d++) scores[j] += q[i][head * width + d] * k[j][group * width + d];
                    scores[j] *= scale;
                    if (cap is { } c) scores[j] = c * Math.Tanh(scores[j] / c);
                    if (bias is not null) scores[j] += bias(head, j);
                }
                double top = scores[first..].Max(), sum = scores[first..].Sum(s => Math.Exp(s - top));
                for (int j = first; j <= i; j++)
                    for (int d = 0; d < width; d++) output[i][head * width + d] += Math.Exp(scores[j] - top) / sum
                        * v[j][group * width + d];
            }
        }
        return output;
    }

    /// <summary>
    /// Rotates the first dimensions of each head by position · frequency; dimension p is paired with p + half of the rotated dimensions.
    /// </summary>
    public static double[][] Rotate(double[][] x, int heads, double[] frequencies, double size = 1) => [.. x.Select((t, position) =>
    {
        double[] y = [.. t];
        int width = t.Length / heads, half = frequencies.Length;
        for (int head = 0; head < heads; head++)
        {
            for (int p = 0; p < half; p++)
            {
                (int a, int b) = (head * width + p, head * width + p + half);
                (double sine, double cosine) = Math.SinCos(position * frequencies[p]);
                (y[a], y[b]) = ((t[a] * cosine - t[b] * sine) * size, (t[b] * cosine + t[a] * sine) * size);
            }
        }
        return y;
    })];

    public static double[] Frequencies(int width, double theta = 10000) =>
        [.. Enumerable.Range(0, width / 2).Select(p => Math.Pow(theta, -2.0 * p / width))];

    /// <summary>Applies a function to the part of each head.</summary>
    public static double[][] EachHead(double[][] x, int heads, Func<double[], int, double[]> f) => [.. x.Select(t =>
        Enumerable.Range(0, heads).SelectMany(h => f(t[(h * t.Length / heads)..((h + 1) * t.Length / heads)], h)).ToArray())];

    public static double[][] Add(params double[][][] all) =>
        [.. all[0].Select((t, i) => t.Select((_, d) => all.Sum(x => x[i][d])).ToArray())];

    public static double[][] Each(double[][] x, Func<double, double> f) => [.. x.Select(t => Array.ConvertAll(t, v => f(v)))];

    public static double[][] Multiply(double[][] a, double[][] b) => [.. a.Select((t, i) => t.Select((v, d) => v * b[i][d]).ToArray())];

    public static double[][] Part(double[][] x, int from, int count) => [.. x.Select(t => t[from..(from + count)])];

    public static double Silu(double x) => x / (1 + Math.Exp(-x));

    public static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    public static double Relu(double x) => Math.Max(x, 0);

    public static double Gelu(double x) => 0.5 * x * (1 + special.erf(x / Math.Sqrt(2)).item<double>());

    public static double GeluTanh(double x) => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

    /// <summary>down(act(gate(x)) · up(x))</summary>
    public double[][] Gated(double[][] x, string module, Func<double, double> act) =>
        Linear(Multiply(Each(Linear(x, module + ".gate_proj"), act), Linear(x, module + ".up_proj")), module + ".down_proj");

    /// <summary>Each token through its best experts, weighted by the router.</summary>
    public double[][] Experts(double[][] x, string module, int chosen, bool normalize, Func<double, double> act) => [.. x.Select(t =>
    {
        double[] logits = Linear(t, module + ".gate.weight");
        double[] odds = Array.ConvertAll(logits, l => Math.Exp(l - logits.Max()));
        double all = odds.Sum();
        int[] best = [.. Enumerable.Range(0, logits.Length).OrderByDescending(e => logits[e]).Take(chosen)];
        double shares = normalize ? best.Sum(e => odds[e] / all) : 1;
        var output = new double[t.Length];
        foreach (int expert in best)
        {
            int inner = _weights[module + ".experts.down_proj"].Shape[2];
            double[] gate = Linear(t, module + ".experts.gate_up_proj", part: expert, count: inner);
            double[] up = Linear(t, module + ".experts.gate_up_proj", part: expert, from: inner);
            double[] down = Linear([.. gate.Select((g, i) => act(g) * up[i])], module + ".experts.down_proj", part: expert);
            for (int d = 0; d < output.Length; d++) output[d] += odds[expert] / all / shares * down[d];
        }
        return output;
    })];
}
