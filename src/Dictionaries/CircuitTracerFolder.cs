using System.Globalization;
using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>
/// Reads the transcoders of all layers as circuit-tracer stores them: config.yaml, and a safetensors file for each layer, which the config
/// lists or which is named layer_0.safetensors, layer_1.safetensors, ...
/// </summary>
/// <remarks>circuit_tracer/utils/hf_utils.py, circuit_tracer/transcoder/single_layer_transcoder.py</remarks>
internal static partial class CircuitTracerFolder
{
    private const string ConfigFile = "config.yaml";

    public static IReadOnlyList<Sae> Read(string folder)
    {
        string path = Path.Combine(folder, ConfigFile);
        if (!File.Exists(path))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{folder} has no {ConfigFile}.",
                "A folder of circuit-tracer has one; that of one dictionary in SAELens's layout is for AttachSae.");
        (Dictionary<string, string> config, List<string> listed) = ReadConfig(path);
        string kind = config.GetValueOrDefault("model_kind", "");
        if (kind != "transcoder_set")
            throw Errors.CreateException(ErrorCode.Unsupported, $"{path} has the model_kind `{kind}`.",
                "Supported is transcoder_set: a transcoder for each layer.");
        string[] files = listed.Count > 0 ? [.. listed.Select(file => DictionaryFolder.FindFile(folder, file))] : FindLayers(folder);
        if (files.Length == 0) throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{folder} has no layer_0.safetensors.");
        return [.. files.Select((file, layer) => Read(file, path, config, layer))];
    }

    private static Sae Read(string file, string path, Dictionary<string, string> config, int layer)
    {
        Dictionary<string, TensorData> tensors = Rename(file, Safetensors.Load(file));
        if (tensors["W_enc"].Shape is not [var inputs, var features] || tensors["W_dec"].Shape is not [_, var outputs])
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{file} has a W_enc or a W_dec that is not a matrix.");
        string activation = config.GetValueOrDefault("activation", tensors.ContainsKey("threshold") ? "jump_relu" : "relu");
        bool isTopK = activation == "topk";
        return new Sae(new SaeConfig
        {
            InputSize = checked((int)inputs), Features = checked((int)features), OutputSize = checked((int)outputs),
            IsTranscoder = true, HasSkip = tensors.ContainsKey("W_skip"), IsRectified = false,
            Activation = activation switch
            {
                "relu" => SaeActivation.Relu,
                "topk" => SaeActivation.TopK,
                "jump_relu" or "jumprelu" => SaeActivation.JumpRelu,
                _ => throw Errors.CreateException(ErrorCode.Unsupported, $"{path} has the activation `{activation}`.",
                    "Supported are relu, topk and jump_relu."),
            },
            K = isTopK ? ReadK(path, config, tensors) : 0,
            Dtype = tensors["W_dec"].Type, // the encoder is transposed in float32
            HookName = $"blocks.{layer}.{Get(path, config, "feature_input_hook")}",
            HookNameOut = $"blocks.{layer}.{Get(path, config, "feature_output_hook")}",
            ModelName = config.GetValueOrDefault("model_name", ""),
        }, tensors, file);
    }

    /// <summary>SAELens's names and layouts. circuit-tracer's encoder is [features, inputs]; Gemma Scope 2 has its own names.</summary>
    private static Dictionary<string, TensorData> Rename(string file, IReadOnlyDictionary<string, TensorData> tensors)
    {
        Dictionary<string, TensorData> renamed = new(StringComparer.Ordinal);
        foreach (var (name, tensor) in tensors)
        {
            (string own, bool isTransposed) = name switch
            {
                "W_enc" => ("W_enc", true),
                "w_enc" => ("W_enc", false),
                "w_dec" => ("W_dec", false),
                "activation_function.threshold" => ("threshold", false),
                "affine_skip_connection" => ("W_skip", true),
                _ => (name, false),
            };
            renamed[own] = isTransposed && tensor.Shape.Length == 2 ? SaeWeights.Transpose(tensor) : tensor;
        }
        foreach (string needed in (string[])["W_enc", "W_dec"])
            if (!renamed.ContainsKey(needed)) throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{file} has no `{needed}`.");
        return renamed;
    }

    private static int ReadK(string path, Dictionary<string, string> config, Dictionary<string, TensorData> tensors)
    {
        if (tensors.TryGetValue("k", out TensorData? stored) && stored.Count == 1) return (int)stored.ToArray<double>()[0];
        return int.TryParse(Get(path, config, "k"), NumberStyles.None, CultureInfo.InvariantCulture, out int k) ? k
            : throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} has a `k` that is not a number: {config["k"]}.");
    }

    private static string Get(string path, Dictionary<string, string> config, string key) => config.TryGetValue(key, out string? value)
        ? value : throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} has no `{key}`.");

    private static string[] FindLayers(string folder) =>
        [.. Enumerable.Range(0, int.MaxValue).Select(layer => Path.Combine(folder, $"layer_{layer}.safetensors")).TakeWhile(File.Exists)];

    /// <summary>The part of YAML that such files use: scalars at the root, and the list `transcoders`.</summary>
    private static (Dictionary<string, string> Scalars, List<string> Transcoders) ReadConfig(string path)
    {
        Dictionary<string, string> scalars = new(StringComparer.Ordinal);
        List<string> transcoders = [];
        string key = "";
        foreach (string line in File.ReadLines(path))
        {
            if (Scalar().Match(line) is { Success: true } scalar)
            {
                key = scalar.Groups["key"].Value;
                if (scalar.Groups["value"].Length > 0) scalars[key] = Unquote(scalar.Groups["value"].Value);
            }
            else if (Item().Match(line) is { Success: true } item && key == "transcoders")
            {
                transcoders.Add(Unquote(item.Groups["value"].Value));
            }
        }
        return (scalars, transcoders);
    }

    private static string Unquote(string value) =>
        value.Length > 1 && value[0] is '"' or '\'' && value[^1] == value[0] ? value[1..^1] : value;

    [GeneratedRegex(@"^(?<key>\w+):[ \t]*(?<value>.*?)[ \t]*(#.*)?$")]
    private static partial Regex Scalar();

    [GeneratedRegex(@"^[ \t]*-[ \t]+(?<value>.+?)[ \t]*$")]
    private static partial Regex Item();
}
