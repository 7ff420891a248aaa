using Ndif.Models.Config;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Packed;

/// <summary>The <c>quantization_config</c> of a config.json: how the tensors of a checkpoint are packed.</summary>
/// <remarks>
/// transformers/utils/quantization_config.py. The names of a checkpoint's tensors say which weights are packed, so the lists of modules
/// that are not (modules_to_not_convert, ignore) are not needed.
/// </remarks>
internal sealed class Quantization
{
    private static readonly string[] _methods = ["gptq", "awq", "fp8", "compressed-tensors", "mxfp4"];

    private readonly ConfigReader _config;

    private Quantization(ConfigReader config, string method) => (_config, Method) = (config, method);

    /// <summary>gptq, awq, fp8, compressed-tensors or mxfp4</summary>
    public string Method { get; }

    /// <summary>Reads the section, or returns null if the config has none.</summary>
    /// <exception cref="CheckpointException">The method is not supported.</exception>
    public static Quantization? Read(ConfigReader config)
    {
        if (config.Section("quantization_config") is not { } section) return null;
        string method = section.Text("quant_method", "");
        return _methods.Contains(method) ? new Quantization(section, method)
            : throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{config.File} has weights quantized by `{method}`, which cannot be read.",
                $"Known are {string.Join(", ", _methods)}. Take the model in one of these forms, as GGUF, or in bfloat16.");
    }

    /// <summary>The bits of an element, of gptq and awq.</summary>
    public int Bits => _config.Size("bits", 4);

    /// <summary>Whether the stored zero points of gptq are one less than the zero points.</summary>
    public bool SubtractsOneFromZeros => _config.Text("checkpoint_format", "gptq") switch
    {
        "gptq" => true,
        "gptq_v2" => false,
        var other => throw _config.InvalidValue("checkpoint_format", "must be gptq or gptq_v2", other),
    };

    /// <summary>Checks that awq's weights are in the layout of its matrix product, which is the one that can be read.</summary>
    public void RequireAwqGemm()
    {
        string version = _config.Text("version", "gemm");
        if (!version.Equals("gemm", StringComparison.OrdinalIgnoreCase)) throw _config.InvalidValue("version", "must be gemm", version);
    }

    /// <summary>The output and input features of a block of fp8; null: one scale for a tensor or an output feature.</summary>
    public (int Rows, int Columns)? Fp8BlockSize => Method != "fp8" || _config.IsNull("weight_block_size") ? null
        : _config.Ids("weight_block_size") switch
        {
            [] => (128, 128),
            [> 0 and var rows, > 0 and var columns] => (rows, columns),
            _ => throw _config.InvalidValue("weight_block_size", "must be two positive numbers", "others"),
        };

    /// <summary>The weights' section of each group of compressed-tensors.</summary>
    public IEnumerable<ConfigReader> WeightGroups => _config.Section("config_groups") is not { } groups ? []
        : groups.Keys.Select(key => groups.Section(key)?.Section("weights")).OfType<ConfigReader>();

    /// <summary>The bits of a packed integer of compressed-tensors.</summary>
    public int CompressedBits
    {
        get
        {
            int[] bits = [.. WeightGroups.Where(group => group.Text("type", "int") == "int").Select(group =>
                group.Size("num_bits", 4)).Distinct()];
            return bits is [var only] ? only : bits.Length == 0 ? 4
                : throw _config.InvalidValue("config_groups", "must have one number of bits", string.Join(" and ", bits));
        }
    }

    public Exception InvalidValue(string key, string what, string value) => _config.InvalidValue(key, what, value);
}
