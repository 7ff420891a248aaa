using System.Text;
using System.Text.Json;

namespace Ndif.Language.Tests.Support;

/// <summary>A folder in SAELens's layout, with random weights, and what SAELens computes with them for one vector in double.</summary>
internal sealed class SaeFolder : IDisposable
{
    public const int Size = 128, Features = 48;

    public SaeFolder(string architecture, Dictionary<string, object?> config, Dictionary<string, TensorData>? more = null, int seed = 1)
    {
        bool isTranscoder = architecture.EndsWith("transcoder", StringComparison.Ordinal);
        Weights = new()
        {
            ["W_enc"] = TensorData.Randn([Size, Features], seed) * 0.1,
            ["W_dec"] = TensorData.Randn([Features, Size], seed + 1) * 0.1,
            ["b_dec"] = TensorData.Randn([Size], seed + 2) * 0.1,
        };
        if (architecture != "gated") Weights["b_enc"] = TensorData.Randn([Features], seed + 3) * 0.1;
        foreach (var (name, tensor) in more ?? []) Weights[name] = tensor;
        Config = new()
        {
            ["architecture"] = architecture, ["d_in"] = Size, ["d_sae"] = Features, ["dtype"] = "float32", ["device"] = "cpu",
            ["apply_b_dec_to_input"] = !isTranscoder, ["normalize_activations"] = "none", ["reshape_activations"] = "none",
        };
        if (isTranscoder) Config["d_out"] = Size;
        Config["metadata"] = new Dictionary<string, object?>
        {
            ["sae_lens_version"] = "6.0.0", ["model_name"] = "tiny-landmarks",
            ["hook_name"] = isTranscoder ? "blocks.1.mlp.hook_in" : "blocks.1.hook_resid_post",
            ["hook_name_out"] = isTranscoder ? "blocks.1.hook_mlp_out" : null,
        };
        foreach (var (name, value) in config) Config[name] = value;
        Save();
    }

    public string Path { get; } = Directory.CreateTempSubdirectory("ndif-sae-").FullName;

    public Dictionary<string, TensorData> Weights { get; }

    public Dictionary<string, object?> Config { get; }

    public string ConfigFile => System.IO.Path.Combine(Path, "cfg.json");

    public string WeightsFile => System.IO.Path.Combine(Path, "sae_weights.safetensors");

    public void Save()
    {
        File.WriteAllText(ConfigFile, JsonSerializer.Serialize(Config));
        WriteSafetensors(WeightsFile, Weights);
    }

    public static void WriteSafetensors(string path, IReadOnlyDictionary<string, TensorData> tensors)
    {
        var header = new Dictionary<string, object>();
        long offset = 0;
        foreach (var (name, tensor) in tensors)
        {
            string type = tensor.Type switch { DType.Float32 => "F32", DType.BFloat16 => "BF16", DType.Int64 => "I64", _ => "F64" };
            long[] offsets = [offset, offset += tensor.Bytes.Length];
            header[name] = new { dtype = type, shape = tensor.Shape.ToArray(), data_offsets = offsets };
        }
        byte[] json = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(header));
        using FileStream file = File.Create(path);
        file.Write(BitConverter.GetBytes((ulong)json.Length));
        file.Write(json);
        foreach (TensorData tensor in tensors.Values) file.Write(tensor.Bytes.Span);
    }

    public double[] Get(string name) => Weights[name].ToArray<double>();

    /// <summary>x · W for a vector. [inputs] to [outputs]</summary>
    public static double[] Multiply(double[] x, double[] matrix)
    {
        int columns = matrix.Length / x.Length;
        return [.. Enumerable.Range(0, columns).Select(j => x.Select((v, i) => v * matrix[i * columns + j]).Sum())];
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
