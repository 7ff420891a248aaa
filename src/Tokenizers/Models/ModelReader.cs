using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>Reads the field <c>model</c> of tokenizer.json.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/models/mod.rs</remarks>
internal static class ModelReader
{
    public static ITokenizerModel Read(JsonSection section)
    {
        string type = section.Optional("type") is null ? InferType(section) : section.Type("BPE", "Unigram", "WordPiece", "WordLevel");
        return type switch
        {
            "BPE" => BpeModelReader.Read(section),
            "Unigram" => UnigramModelReader.Read(section),
            "WordPiece" => new WordPieceModel(Vocabulary.Read(section.Required("vocab")),
                section.Optional("unk_token")?.String() ?? "[UNK]",
                section.Optional("continuing_subword_prefix")?.String() ?? "##",
                section.Optional("max_input_chars_per_word")?.Int(0, 10_000) ?? 100,
                section.Path),
            _ => new WordLevelModel(Vocabulary.Read(section.Required("vocab")),
                section.Optional("unk_token")?.String() ?? "<unk>",
                section.Path),
        };
    }

    /// <summary>Infers the type of a model without the field <c>type</c>, as in files from before 2021 such as GPT-2's.</summary>
    private static string InferType(JsonSection section) =>
        section.Optional("merges") is not null ? "BPE"
        : section.Optional("vocab")?.ValueKind == JsonValueKind.Array ? "Unigram"
        : section.Optional("continuing_subword_prefix") is not null ? "WordPiece"
        : "WordLevel";
}
