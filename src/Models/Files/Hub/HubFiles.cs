using Ndif.Models.Loading;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Hub;

/// <summary>How much of a model is wanted on the disk.</summary>
public enum ModelParts
{
    /// <summary>Config and tokenizer: the tree, its shapes, token ids. A few megabytes at most.</summary>
    Description,

    /// <summary>The same and the weights.</summary>
    Weights,

    /// <summary>A LoRA adapter: its config and its weights.</summary>
    Adapter,
}

/// <summary>Which files of a repository are fetched, and whether a folder has them.</summary>
internal static class HubFiles
{
    public const string Config = "config.json";

    /// <summary>What makes up a description. Only config.json has to be there.</summary>
    private static readonly string[] _descriptionFiles =
    [
        Config, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    ];

    /// <summary>True if a folder has all that is needed for these parts.</summary>
    public static bool IsComplete(string folder, ModelParts parts) => parts switch
    {
        ModelParts.Adapter => AdapterFile.ExistsIn(folder),
        ModelParts.Weights => File.Exists(Path.Combine(folder, Config)) && Checkpoint.IsComplete(folder),
        _ => File.Exists(Path.Combine(folder, Config)),
    };

    /// <summary>
    /// The files to fetch at first. For a model in shards that is the index, which names the rest
    /// (<see cref="Checkpoint.ShardsOf"/>).
    /// </summary>
    /// <param name="files">All files of the repository.</param>
    /// <exception cref="NdifException">BAD_CHECKPOINT: the repository lacks what is needed, or has pickled weights only.</exception>
    public static List<string> Select(string id, IReadOnlyCollection<string> files, ModelParts parts)
    {
        if (parts == ModelParts.Adapter)
        {
            if (files.Contains(AdapterFile.ConfigFile) && files.Contains(AdapterFile.WeightsFile)) return [AdapterFile.ConfigFile, AdapterFile.WeightsFile];
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"`{id}` on the hub has no {AdapterFile.ConfigFile} with {AdapterFile.WeightsFile}: it is not an adapter in PEFT's format"
                + (files.Any(Checkpoint.IsPickle) ? ", or its weights are a Python pickle, which is refused: reading a pickle runs whatever code is in it." : "."));
        }
        if (!files.Contains(Config))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"`{id}` on the hub has no {Config}: it is not a model in the transformers format.",
                files.Contains(AdapterFile.ConfigFile) ? "It is an adapter: name its base model, and give it as `adapter`." : "Look for a repository of the same model with config.json and safetensors.");
        List<string> wanted = [.. _descriptionFiles.Where(files.Contains)];
        if (parts == ModelParts.Description) return wanted;
        wanted.Add(files.Contains(Checkpoint.SingleFileName) ? Checkpoint.SingleFileName : files.Contains(Checkpoint.IndexFileName) ? Checkpoint.IndexFileName : throw NoWeights(id, files));
        return wanted;
    }

    private static Exception NoWeights(string id, IReadOnlyCollection<string> files) =>
        files.Where(Checkpoint.IsPickle).Order(StringComparer.Ordinal).FirstOrDefault() is { } pickled
            ? Errors.CreateException(ErrorCode.BadCheckpoint,
                $"`{id}` on the hub has its weights as `{pickled}`, a Python pickle, which is refused: reading a pickle runs whatever code is in it.",
                "Many such repositories have a pull request by the hub's converter with model.safetensors: name its revision (refs/pr/N). Or convert it once where "
                + "you trust it, with AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder).")
            : Errors.CreateException(ErrorCode.BadCheckpoint, $"`{id}` on the hub has neither {Checkpoint.SingleFileName} nor {Checkpoint.IndexFileName}.",
                "Look for a repository of the same model with safetensors weights.");
}
