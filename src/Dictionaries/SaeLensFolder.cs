using System.Text.Json;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>Reads and writes a folder in SAELens's layout: cfg.json and sae_weights.safetensors.</summary>
/// <remarks>
/// sae_lens/loading/pretrained_sae_loaders.py; names before version 6 of SAELens are at the root, later ones in `metadata`.
/// </remarks>
internal static class SaeLensFolder
{
    private const string ConfigFile = "cfg.json", WeightsFile = "sae_weights.safetensors";

    /// <summary>What the architectures of cfg.json compute. Batch top-k is top-k in training, and a threshold afterwards.</summary>
    private static readonly Dictionary<string, (SaeActivation Activation, bool IsTranscoder, bool HasSkip)> _architectures = new()
    {
        ["standard"] = (SaeActivation.Relu, false, false),
        ["topk"] = (SaeActivation.TopK, false, false),
        ["batchtopk"] = (SaeActivation.JumpRelu, false, false),
        ["matryoshka_batchtopk"] = (SaeActivation.JumpRelu, false, false),
        ["jumprelu"] = (SaeActivation.JumpRelu, false, false),
        ["gated"] = (SaeActivation.Gated, false, false),
        ["transcoder"] = (SaeActivation.Relu, true, false),
        ["skip_transcoder"] = (SaeActivation.Relu, true, true),
        ["jumprelu_transcoder"] = (SaeActivation.JumpRelu, true, false),
        ["jumprelu_skip_transcoder"] = (SaeActivation.JumpRelu, true, true),
    };

    /// <summary>Reads a dictionary.</summary>
    /// <param name="normScalingFactor">The factor of expected_average_only_in, which the folder need not state.</param>
    public static Sae Read(string folder, double? normScalingFactor)
    {
        string config = Path.Combine(folder, ConfigFile), weights = Path.Combine(folder, WeightsFile);
        foreach (string file in (string[])[config, weights])
        {
            if (!File.Exists(file))
                throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{folder} has no {Path.GetFileName(file)}.",
                    $"A folder of SAELens has {ConfigFile} and {WeightsFile}; of circuit-tracer's, AttachTranscoders takes the folder.");
        }
        (SaeConfig sae, bool isScaled) = ReadConfig(config);
        Dictionary<string, TensorData> tensors = new(Safetensors.Load(weights), StringComparer.Ordinal);
        // a factor that is not 1 belongs to a config that says so; otherwise it is not known whether to use it
        if (!isScaled && tensors.TryGetValue("scaling_factor", out TensorData? factor)
            && factor.ToArray<double>().Any(x => Math.Abs(x - 1) > 1e-5))
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{config} says finetuning_scaling_factor false, and the weights have a scaling_factor that is not 1.",
                "SAELens refuses it too: set finetuning_scaling_factor, or remove the tensor.");
        return new Sae(sae with { NormScalingFactor = normScalingFactor ?? sae.NormScalingFactor }, tensors, folder);
    }

    /// <summary>Writes a dictionary.</summary>
    public static void Write(Sae sae, string folder)
    {
        SaeConfig config = sae.Config;
        string? architecture = _architectures.FirstOrDefault(entry => !entry.Key.EndsWith("batchtopk", StringComparison.Ordinal)
            && entry.Value == (config.Activation, config.IsTranscoder, config.HasSkip)).Key;
        if (architecture is null || (!config.IsRectified && config.Activation is SaeActivation.TopK or SaeActivation.JumpRelu))
            throw Errors.CreateException(ErrorCode.Unsupported, "SAELens has no architecture for this dictionary: "
                + $"{config.Activation}{(config.IsTranscoder ? ", transcoder" : "")}{(config.HasSkip ? ", skip connection" : "")}"
                + $"{(config.IsRectified ? "" : ", not rectified")}.");
        Directory.CreateDirectory(folder);
        using (FileStream file = File.Create(Path.Combine(folder, ConfigFile)))
        using (var json = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("architecture", architecture);
            json.WriteNumber("d_in", config.InputSize);
            json.WriteNumber("d_sae", config.Features);
            if (config.IsTranscoder) json.WriteNumber("d_out", config.OutputSize);
            json.WriteString("dtype", config.Dtype.TorchName());
            json.WriteString("device", "cpu");
            json.WriteBoolean("apply_b_dec_to_input", config.AppliesDecoderBiasToInput);
            json.WriteString("normalize_activations", config.Normalization switch
            {
                SaeNormalization.ExpectedAverageOnlyIn => "expected_average_only_in",
                SaeNormalization.LayerNorm => "layer_norm",
                SaeNormalization.ConstantNormRescale => "constant_norm_rescale",
                _ => "none",
            });
            if (config.NormScalingFactor is { } factor) json.WriteNumber("norm_scaling_factor", factor);
            json.WriteString("reshape_activations", config.HookName.EndsWith("hook_z", StringComparison.Ordinal) ? "hook_z" : "none");
            if (config.Activation is SaeActivation.TopK) json.WriteNumber("k", config.K);
            if (config.RescalesByDecoderNorm) json.WriteBoolean("rescale_acts_by_decoder_norm", true);
            if (sae.Weights.Given.ContainsKey("scaling_factor")) json.WriteBoolean("finetuning_scaling_factor", true);
            json.WriteStartObject("metadata");
            json.WriteString("sae_lens_version", "6.0.0"); // whose layout this is
            if (config.ModelName.Length > 0) json.WriteString("model_name", config.ModelName);
            if (config.HookName.Length > 0) json.WriteString("hook_name", config.HookName);
            if (config.HookNameOut.Length > 0) json.WriteString("hook_name_out", config.HookNameOut);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        Safetensors.Save(Path.Combine(folder, WeightsFile), sae.Weights.Given);
    }

    private static (SaeConfig Config, bool IsScaled) ReadConfig(string path)
    {
        try
        {
            using JsonDocument json = PythonJson.Parse(File.ReadAllBytes(path));
            var config = new SaeLensConfig(json.RootElement);
            return (ReadConfig(path, config), config.GetFlag("finetuning_scaling_factor", false));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} cannot be read: {e.Message}", inner: e);
        }
    }

    private static SaeConfig ReadConfig(string path, SaeLensConfig config)
    {
        string name = config.GetText("architecture") ?? "standard";
        string activation = config.GetText("activation_fn_str") ?? config.GetText("activation_fn") ?? "relu";
        if (name == "standard" && activation == "topk") (name, activation) = ("topk", "relu"); // before version 6
        if (!_architectures.TryGetValue(name, out var architecture))
            throw Errors.CreateException(ErrorCode.Unsupported, $"{path} is of the architecture `{name}`.",
                $"Supported are {string.Join(", ", _architectures.Keys)}.");
        if (activation is not ("relu" or "topk" or "jumprelu" or "batchtopk"))
            throw Errors.CreateException(ErrorCode.Unsupported, $"{path} has the activation `{activation}`.",
                "Supported are relu and topk.");
        if (config.GetNumber("hook_head_index") is { } head)
            throw Errors.CreateException(ErrorCode.Unsupported, $"{path} is of attention head {head} alone (hook_head_index).",
                "Attach it to a value of your own: new Sae(config, weights) and Encode(value).");
        int inputs = config.GetSize("d_in");
        return new SaeConfig
        {
            InputSize = inputs,
            Features = config.GetSize("d_sae"),
            OutputSize = architecture.IsTranscoder ? config.GetSize("d_out") : inputs,
            IsTranscoder = architecture.IsTranscoder,
            HasSkip = architecture.HasSkip,
            Activation = architecture.Activation,
            K = architecture.Activation is SaeActivation.TopK ? config.GetK() : 0,
            RescalesByDecoderNorm = name.EndsWith("topk", StringComparison.Ordinal)
                && config.GetFlag("rescale_acts_by_decoder_norm", false),
            AppliesDecoderBiasToInput = !architecture.IsTranscoder && config.GetFlag("apply_b_dec_to_input", true),
            Normalization = ReadNormalization(path, config),
            NormScalingFactor = config.GetNumber("norm_scaling_factor"),
            Dtype = ReadType(path, config.GetText("dtype") ?? "float32"),
            HookName = config.GetText("hook_name") ?? config.GetText("hook_point") ?? "",
            HookNameOut = architecture.IsTranscoder ? config.GetText("hook_name_out") ?? "" : "",
            ModelName = config.GetText("model_name") ?? "",
        };
    }

    private static SaeNormalization ReadNormalization(string path, SaeLensConfig config) => config.GetText("normalize_activations") switch
    {
        null or "none" => config.GetFlag("normalize_activations", false) ? SaeNormalization.ExpectedAverageOnlyIn : SaeNormalization.None,
        "expected_average_only_in" => SaeNormalization.ExpectedAverageOnlyIn,
        "layer_norm" => SaeNormalization.LayerNorm,
        "constant_norm_rescale" => SaeNormalization.ConstantNormRescale,
        var other => throw Errors.CreateException(ErrorCode.Unsupported, $"{path} has normalize_activations `{other}`.",
            "Supported are none, expected_average_only_in, layer_norm and constant_norm_rescale."),
    };

    private static DType ReadType(string path, string name) => name.Replace("torch.", "", StringComparison.Ordinal) switch
    {
        "float32" or "float" => DType.Float32,
        "float64" or "double" => DType.Float64,
        "bfloat16" => DType.BFloat16,
        "float16" or "half" => DType.Float16,
        var other => throw Errors.CreateException(ErrorCode.Unsupported, $"{path} has the dtype `{other}`.",
            "Supported are float32, float64, bfloat16 and float16."),
    };
}
