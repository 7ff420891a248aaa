using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>Makes the model that the file's <c>model</c> describes.</summary>
internal static class ModelReader
{
    public static ITokenizerModel Read(JsonPart part)
    {
        string type = part.Optional("type") is null ? InferType(part) : part.Type("BPE", "Unigram", "WordPiece", "WordLevel");
        return type switch
        {
            "BPE" => BpeModelReader.Read(part),
            "Unigram" => UnigramModelReader.Read(part),
            "WordPiece" => new WordPieceModel(Vocabulary.Read(part.Required("vocab")),
                part.Optional("unk_token")?.String() ?? "[UNK]",
                part.Optional("continuing_subword_prefix")?.String() ?? "##",
                part.Optional("max_input_chars_per_word")?.Int(0, 10_000) ?? 100,
                part.Path),
            _ => new WordLevelModel(Vocabulary.Read(part.Required("vocab")), part.Optional("unk_token")?.String() ?? "<unk>", part.Path),
        };
    }

    /// <summary>Files of before 2021, GPT-2's own among them, name no type.</summary>
    static string InferType(JsonPart part) =>
        part.Optional("merges") is not null ? "BPE"
        : part.Optional("vocab")?.ValueKind == JsonValueKind.Array ? "Unigram"
        : part.Optional("continuing_subword_prefix") is not null ? "WordPiece"
        : "WordLevel";
}
