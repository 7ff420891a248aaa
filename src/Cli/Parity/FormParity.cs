using System.Text.Json;
using Ndif.Models;
using Ndif.Models.Files;
using Ndif.Models.Files.Gguf;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>
/// Compares a checkpoint in another form than safetensors of floating-point numbers with the reference outputs of the same model with
/// dequantized weights, in float32. A folder of GGUF has several files; the names of its reference's tensors begin with a file's tag.
/// </summary>
internal static class FormParity
{
    private const string Checkpoint = "checkpoint", Dequantized = "dequantised/";

    /// <summary>Whether golden.json describes a form: it lists files.</summary>
    public static bool IsForm(GoldenOutputs golden) => golden.Json.TryGetProperty("files", out JsonElement files)
        && files.ValueKind == JsonValueKind.Object && !golden.Json.TryGetProperty("architecture", out _);

    public static void Compare(GoldenOutputs golden, ParityResult result)
    {
        List<string> problems = [];
        foreach (string tag in golden.Json.GetProperty("files").EnumerateObject().Select(file => file.Name))
        {
            string prefix = tag == Checkpoint ? "" : tag + "/";
            string path = tag == Checkpoint ? golden.Folder : Path.Combine(golden.Folder, $"model-{tag}{GgufFile.Extension}");
            CompareWeights(golden, prefix, path, problems);
            using LoadedModel model = ModelLoader.Load(path, ScalarType.Float32);
            result.Architecture = model.Root.ClassName;
            using (no_grad()) CompareOutputs(golden, prefix, model, result);
        }
        if (problems.Count > 0) result.Error = string.Join("\n", problems.Take(5));
    }

    private static void CompareOutputs(GoldenOutputs golden, string prefix, LoadedModel model, ParityResult result)
    {
        using var scope = NewDisposeScope();
        Tensor ids = golden["input_ids"]; // [1, seq]
        using CallRecorder recorder = new();
        using KeyValueCache cache = model.NewCache();
        recorder.Run(model, () => CheckpointParity.Forward(model, golden, ids, ones_like(ids), cache));
        result.Logits = Math.Max(result.Logits ?? 0, TensorDifference.Absolute(recorder.Calls[^1].Output!, golden[prefix + "logits"]));
        result.Hidden = Math.Max(result.Hidden ?? 0, CheckpointParity.CompareHidden(golden, prefix, model, recorder));
        if (golden.Find(prefix + "generate.ids") is not { } expected) return;
        (Tensor generated, _) = GreedyDecoding.Run(model, ids, ones_like(ids), (int)(expected.size(1) - ids.size(1)));
        result.Greedy = result.Greedy is not false && generated.Equals(expected);
    }

    /// <summary>Compares dequantized weights, which must be the same to the last bit.</summary>
    private static void CompareWeights(GoldenOutputs golden, string prefix, string path, List<string> problems)
    {
        string[] names = [.. golden.Names.Where(name => name.StartsWith(prefix + Dequantized, StringComparison.Ordinal))];
        if (names.Length == 0) return;
        ModelFolder folder = ModelStore.Find(path);
        using Models.Files.Checkpoint checkpoint = Models.Files.Checkpoint.Open(folder.Path, folder.ReadConfig());
        foreach (string name in names)
        {
            using Tensor actual = checkpoint.Read(name[(prefix + Dequantized).Length..]);
            if (!actual.Equals(golden[name])) problems.Add($"`{name}` is dequantized to other values");
        }
    }
}
