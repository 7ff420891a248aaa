namespace Ndif.Models.Config;

/// <summary>The frequencies of rotary position embeddings and their scaling.</summary>
/// <param name="RopeType">"default", "linear", "llama3", ...</param>
/// <param name="Theta">The base of the frequencies.</param>
/// <param name="PartialRotaryFactor">The fraction of a head that is rotated.</param>
/// <param name="Values">The parameters of the type; null for "default".</param>
/// <param name="OriginalMaxPositions">The context length before scaling; null if the file does not have it.</param>
/// <remarks>
/// transformers/modeling_rope_utils.py. Reads the older format (rope_theta, rope_scaling) and that of transformers 5 (rope_parameters).
/// </remarks>
public sealed record RopeParameters(
    string RopeType, double Theta, double PartialRotaryFactor, ConfigReader? Values, int? OriginalMaxPositions = null)
{
    private const string OriginalMaxPositionsKey = "original_max_position_embeddings";

    /// <param name="layerType">
    /// For models with parameters for each layer type ("sliding_attention"): the section of rope_parameters to read.
    /// </param>
    /// <param name="theta">The default base of the architecture.</param>
    /// <param name="partialRotaryFactor">The default fraction of the architecture.</param>
    public static RopeParameters Read(ConfigReader config, string? layerType = null, double theta = 10000.0,
        double partialRotaryFactor = 1.0)
    {
        ConfigReader? values = config.Section("rope_parameters") is { } parameters
            ? (layerType is null ? null : parameters.Section(layerType)) ?? parameters
            : config.Section("rope_scaling");
        string kind = values is null ? "default" : values.Text("rope_type", values.Text("type", "default"));
        // as in standardize_rope_params: for these two keys the config has precedence over its section; for rope_theta the section has
        ConfigReader? partialFrom = FirstWithKey("partial_rotary_factor", config, values),
            original = FirstWithKey(OriginalMaxPositionsKey, config, values);
        return new RopeParameters(
            kind is "mrope" ? "default" : kind,
            values is not null && values.Has("rope_theta") ? values.Real("rope_theta") : config.Real("rope_theta", theta),
            partialFrom?.Real("partial_rotary_factor") ?? partialRotaryFactor,
            values,
            original?.Size(OriginalMaxPositionsKey));
    }

    private static ConfigReader? FirstWithKey(string key, params ConfigReader?[] readers) => Array.Find(readers, r => r?.Has(key) ?? false);
}
