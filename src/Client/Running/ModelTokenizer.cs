using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Running;

/// <summary>The tokenizer in the description of a model, for the client and the engine.</summary>
public static class ModelTokenizer
{
    /// <summary>Whether the model comes with a tokenizer.</summary>
    public static bool IsIn(ModelDescription model) => TokenizerFiles.HaveVocabulary(model.Files.ContainsKey);

    /// <summary>Reads the tokenizer of a model.</summary>
    /// <exception cref="NdifException">BAD_TOKENIZER: the model comes without one.</exception>
    /// <exception cref="TokenizerFormatException">A file of the tokenizer is damaged, or has a part that is not supported.</exception>
    public static HuggingFaceTokenizer Read(ModelDescription model) => IsIn(model)
        ? HuggingFaceTokenizer.FromFiles(model.Files.ToDictionary(file => file.Key, file => file.Value.Memory))
        : throw Errors.CreateException(ErrorCode.BadTokenizer, $"`{model.Id}` comes without a tokenizer.json.",
            "Pass token ids instead of texts.");
}
