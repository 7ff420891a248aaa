namespace Ndif.Models.Config;

/// <summary>How rotary position embeddings are scaled.</summary>
/// <param name="RopeType">"default", "linear", "llama3", ...</param>
/// <param name="Theta">The base of the frequencies.</param>
/// <param name="PartialRotaryFactor">The part of a head's width that is rotated.</param>
/// <param name="Values">The kind's own values; absent for "default".</param>
/// <param name="OriginalMaxPositions">Tokens that the model was trained on before it was stretched; null if the file does not say.</param>
/// <remarks>transformers/modeling_rope_utils.py; both the older hub style and the one since transformers 5.</remarks>
public sealed record RopeParameters(
    string RopeType, double Theta, double PartialRotaryFactor, ConfigReader? Values, int? OriginalMaxPositions = null)
{
    private const string OriginalMaxPositionsKey = "original_max_position_embeddings";

    /// <param name="layerType">
    /// For models whose layer types have their own values ("sliding_attention"): the section of rope_parameters to read.
    /// </param>
    /// <param name="theta">The architecture's default base.</param>
    /// <param name="partialRotaryFactor">The architecture's default of the rotated part.</param>
    public static RopeParameters Read(ConfigReader config, string? layerType = null, double theta = 10000.0, double partialRotaryFactor = 1.0)
    {
        ConfigReader? values = config.Section("rope_parameters") is { } parameters
            ? (layerType is null ? null : parameters.Section(layerType)) ?? parameters
            : config.Section("rope_scaling");
        string kind = values is null ? "default" : values.Text("rope_type", values.Text("type", "default"));
        // as standardize_rope_params: beside the section these two win, and the base within
        ConfigReader? partialFrom = FirstWithKey("partial_rotary_factor", config, values), original = FirstWithKey(OriginalMaxPositionsKey, config, values);
        return new RopeParameters(
            kind is "mrope" ? "default" : kind,
            values is not null && values.Has("rope_theta") ? values.Real("rope_theta") : config.Real("rope_theta", theta),
            partialFrom?.Real("partial_rotary_factor") ?? partialRotaryFactor,
            values,
            original?.Size(OriginalMaxPositionsKey));
    }

    private static ConfigReader? FirstWithKey(string key, params ConfigReader?[] readers) => Array.Find(readers, r => r?.Has(key) ?? false);
}
