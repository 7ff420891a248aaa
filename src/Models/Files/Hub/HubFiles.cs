using Ndif.Models.Loading;
using Ndif.Tokenizers;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Hub;

/// <summary>Selects the files of a repository to download, and checks whether a folder has them.</summary>
internal static class HubFiles
{
    public const string Config = "config.json";

    /// <summary>Whether a folder has all files that are needed for these parts.</summary>
    public static bool IsComplete(string folder, ModelParts parts) => parts switch
    {
        ModelParts.Adapter => AdapterFile.ExistsIn(folder),
        ModelParts.Weights => File.Exists(Path.Combine(folder, Config)) && Checkpoint.IsComplete(folder),
        _ => File.Exists(Path.Combine(folder, Config)),
    };

    /// <summary>
    /// Selects the files to download first. For a model in shards that includes the index, which names the other files
    /// (<see cref="Checkpoint.ShardsOf"/>).
    /// </summary>
    /// <param name="files">The paths of all files in the repository.</param>
    /// <exception cref="NdifException">BAD_CHECKPOINT: the repository lacks a required file.</exception>
    public static List<string> Select(string id, IReadOnlyCollection<string> files, ModelParts parts)
    {
        if (parts == ModelParts.Adapter)
        {
            if (files.Contains(AdapterFile.ConfigFile) && files.Contains(AdapterFile.WeightsFile))
                return [AdapterFile.ConfigFile, AdapterFile.WeightsFile];
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"`{id}` on the hub has no {AdapterFile.ConfigFile} with {AdapterFile.WeightsFile}: it is not an adapter in PEFT's format"
                + (files.Any(Checkpoint.IsPickle)
                    ? ", or its weights are a Python pickle, which is refused: reading a pickle runs whatever code is in it." : "."));
        }
        if (!files.Contains(Config))
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"`{id}` on the hub has no {Config}: it is not a model in the transformers format.",
                files.Contains(AdapterFile.ConfigFile) ? "It is an adapter: name its base model, and give it as `adapter`."
                : files.Any(Gguf.GgufFile.IsName) ? "Download one of its GGUF files, and give its path."
                : "Look for a repository of the same model with config.json and safetensors.");
        List<string> wanted = [Config, .. TokenizerFiles.Select(files.Contains), .. files.Where(TokenizerFiles.IsAdditionalChatTemplate)];
        if (files.Contains("generation_config.json")) wanted.Add("generation_config.json");
        if (parts == ModelParts.Description) return wanted;
        wanted.Add(Checkpoint.FirstFileNames.FirstOrDefault(files.Contains) ?? throw NoWeights(id, files));
        return wanted;
    }

    private static Exception NoWeights(string id, IReadOnlyCollection<string> files) =>
        MissingWeights.CreateException($"`{id}` on the hub", files,
            files.Any(Gguf.GgufFile.IsName) ? "Download one of its GGUF files, and give its path."
            : "Look for a repository of the same model with safetensors weights.");
}
