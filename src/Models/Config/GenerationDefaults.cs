namespace Ndif.Models;

/// <summary>What generation_config.json says of a model; where it is silent, config.json's token ids and Hugging Face's defaults.</summary>
/// <param name="EosIds">Any of these ends a row.</param>
/// <param name="MaxNewTokens">Null if the file gives none.</param>
/// <remarks>transformers/generation/configuration_utils.py</remarks>
public sealed record GenerationDefaults(
    IReadOnlyList<int> EosIds,
    int? BosId,
    int? PadId,
    bool DoSample,
    double Temperature,
    int TopK,
    double TopP,
    double RepetitionPenalty,
    int? MaxNewTokens)
{
    /// <summary>The file may be absent.</summary>
    public static GenerationDefaults Read(string folder, ConfigReader config)
    {
        string path = Path.Combine(folder, "generation_config.json");
        ConfigReader file = File.Exists(path) ? ConfigReader.Open(path) : ConfigReader.Parse("{}"u8.ToArray(), path);
        return new GenerationDefaults(
            Ids("eos_token_id"),
            FirstId("bos_token_id"),
            FirstId("pad_token_id"),
            file.Flag("do_sample", false),
            file.Real("temperature", 1.0),
            (int)file.Integer("top_k", 50),
            file.Real("top_p", 1.0),
            file.Real("repetition_penalty", 1.0),
            file.Has("max_new_tokens") ? file.Size("max_new_tokens") : null);

        IReadOnlyList<int> Ids(string key) => file.Has(key) ? file.Ids(key) : config.Ids(key);
        int? FirstId(string key) => Ids(key) is [int first, ..] ? first : null;
    }
}
