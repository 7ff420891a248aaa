namespace Ndif.Models.Files.Hub;

/// <summary>The files of a model that are needed on disk.</summary>
internal enum ModelParts
{
    /// <summary>Config and tokenizer, a few megabytes at most: enough for the module tree, its shapes and token ids.</summary>
    Description,

    /// <summary>The description and the weights.</summary>
    Weights,

    /// <summary>A LoRA adapter: its config and its weights.</summary>
    Adapter,
}
