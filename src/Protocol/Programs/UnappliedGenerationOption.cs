using System.Text.Json;

namespace Ndif.Protocol.Programs;

/// <summary>
/// An option of generation_config.json that changes which tokens a generation chooses and that is not applied here. A generation that it
/// would change is refused, or ends with a warning.
/// </summary>
/// <param name="Name">The name in the file.</param>
/// <param name="IsSet">Whether a value that is not null differs from none.</param>
/// <param name="IsActive">
/// Whether the option has an effect beside the options of the generation, before the defaults are set.
/// </param>
/// <param name="Effect">What the option asks for, after "which".</param>
/// <remarks>
/// GenerationConfig.get_generation_mode in transformers/generation/configuration_utils.py, and _get_logits_processor,
/// _get_stopping_criteria and _get_deprecated_gen_repo in utils.py, where Hugging Face refuses the strategies of the first five rows too.
/// Options of assisted generation are no rows: the tokens are those of the same generation without it.
/// </remarks>
internal sealed record UnappliedGenerationOption(
    string Name, Func<JsonElement, bool> IsSet, Func<Generation, bool> IsActive, string Effect)
{
    /// <summary>True refuses the generation, false adds a warning.</summary>
    public bool IsRefused { get; init; } = true;

    public static IReadOnlyList<UnappliedGenerationOption> Rows { get; } =
    [
        new("constraints", _ => true, _ => true, "asks for a constrained beam search"),
        new("force_words_ids", _ => true, _ => true, "asks for a constrained beam search"),
        new("penalty_alpha", value => IsAbove(value, 0), g => g is { Beams: <= 1, Sample: false } && (!g.HasTopK || g.TopK > 1),
            "asks for contrastive search"),
        new("num_beam_groups", value => IsAbove(value, 1), g => g.Beams > 1, "asks for a beam search in groups"),
        new("dola_layers", _ => true, g => g.Beams <= 1, "asks for decoding by contrasting layers (DoLa)"),
        new("guidance_scale", value => value.ValueKind is not JsonValueKind.Number || value.GetDouble() != 1, _ => true,
            "asks for classifier-free guidance, a second pass without the prompt"),
        new("watermarking_config", _ => true, _ => true, "asks for a watermark in the choice of tokens"),
        new("token_healing", value => value.ValueKind is not JsonValueKind.False, _ => true, "asks for another end of the prompt"),
        new("is_assistant", value => value.ValueKind is not JsonValueKind.False, _ => true,
            "asks for an end at the first token of low probability"),
        new("max_length", _ => true, g => !g.HasMaxNewTokens,
            "counts the tokens of the prompt too, so that the number of steps would not be known before; set max_new_tokens")
        { IsRefused = false },
        new("max_time", _ => true, _ => true, "would end rows after a time, other tokens in each run") { IsRefused = false },
        new("cache_implementation", value => value.ValueEquals("quantized"u8), _ => true,
            "asks for keys and values in fewer bits; they are kept as they are computed")
        { IsRefused = false },
    ];

    private static bool IsAbove(JsonElement value, double bound) =>
        value.ValueKind is not JsonValueKind.Number || value.GetDouble() > bound;
}
