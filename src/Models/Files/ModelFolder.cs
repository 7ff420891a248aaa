using Ndif.Models.Config;
using Ndif.Models.Files.Gguf;

namespace Ndif.Models.Files;

/// <summary>The files of a model on this machine.</summary>
/// <param name="Id">The id or path that was asked for.</param>
/// <param name="Revision">The commit of a hub snapshot; otherwise empty.</param>
/// <param name="Path">The folder, or the GGUF file.</param>
public sealed record ModelFolder(string Id, string Revision, string Path)
{
    /// <summary>Whether the model is one GGUF file, which has config and tokenizer in its metadata.</summary>
    internal bool IsGguf => GgufFile.IsName(Path);

    /// <summary>The config.json; of a GGUF file, the one that its metadata stand for.</summary>
    /// <exception cref="CheckpointException">It is missing or damaged.</exception>
    internal ConfigReader ReadConfig()
    {
        if (!IsGguf) return ConfigReader.Open(System.IO.Path.Combine(Path, "config.json"));
        using GgufModel model = GgufModel.Open(Path);
        return ConfigReader.Parse(model.ReadConfig(), Path);
    }
}
