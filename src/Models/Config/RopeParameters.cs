namespace Ndif.Models.Config;

/// <summary>The frequencies of rotary position embeddings and their scaling.</summary>
/// <param name="RopeType">"default", "linear", "llama3", ...</param>
/// <param name="Theta">The base of the frequencies.</param>
/// <param name="PartialRotaryFactor">The fraction of a head that is rotated.</param>
/// <param name="Values">The parameters of the type; null for "default".</param>
/// <param name="OriginalMaxPositions">The context length before scaling; null if the file does not have it.</param>
/// <remarks>
/// transformers/modeling_rope_utils.py. Reads the older format (rope_theta, rope_scaling) and that of transformers 5 (rope_parameters). A
/// rope_scaling that is not empty replaces rope_parameters; for a model with a section for each layer type it is merged into that of full
/// attention (convert_rope_params_to_dict).
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
        ConfigReader? parameters = NonEmptySection(config, "rope_parameters"), scaling = NonEmptySection(config, "rope_scaling");
        ConfigReader? ofLayerType = layerType is null ? null : parameters?.Section(layerType);
        ConfigReader? values = layerType is "sliding_attention" ? ofLayerType ?? parameters : scaling ?? ofLayerType ?? parameters;
        string kind = values is null ? "default" : values.Text("rope_type", values.Text("type", "default"));
        // as in standardize_rope_params: for these two keys the config has precedence over its section; for rope_theta the section has
        ConfigReader? partialFrom = FirstWithKey("partial_rotary_factor", config, values),
            original = FirstWithKey(OriginalMaxPositionsKey, config, values);
        return new RopeParameters(
            kind is "mrope" ? "default" : kind,
            FirstWithKey("rope_theta", values, ofLayerType, config)?.Real("rope_theta") ?? theta,
            partialFrom?.Real("partial_rotary_factor") ?? partialRotaryFactor,
            values,
            original?.Size(OriginalMaxPositionsKey));
    }

    private static ConfigReader? NonEmptySection(ConfigReader config, string key) =>
        config.Section(key) is { } section && section.Keys.Any() ? section : null;

    private static ConfigReader? FirstWithKey(string key, params ConfigReader?[] readers) => Array.Find(readers, r => r?.Has(key) ?? false);
}
