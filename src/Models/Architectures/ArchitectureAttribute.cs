using Ndif.Models.Config;

namespace Ndif.Models.Architectures;

/// <summary>
/// Makes a class the implementation of a Hugging Face architecture: the names that config.json may have under
/// <c>architectures</c>, and the <c>model_type</c> for checkpoints that name none that is known. The class needs a constructor
/// that takes a <see cref="ConfigReader"/>; it is registered nowhere else.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class ArchitectureAttribute(string name) : Attribute
{
    /// <summary>The class in Hugging Face's code: "GPT2LMHeadModel".</summary>
    public string Name { get; } = name;

    /// <summary>The model_type in config.json: "gpt2".</summary>
    public string ModelType { get; init; } = "";
}
