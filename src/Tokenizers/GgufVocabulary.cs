using Ndif.Tokenizers.Conversion;

namespace Ndif.Tokenizers;

/// <summary>The tokenizer in the metadata of a GGUF file, under <c>tokenizer.ggml</c>.</summary>
/// <remarks>https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer"; llama_vocab::impl::load in llama.cpp</remarks>
public sealed record GgufVocabulary
{
    /// <summary>The kind: "llama" is SentencePiece's byte-pair encoding, "gpt2" is byte-level byte-pair encoding.</summary>
    public required string Model { get; init; }

    /// <summary>How a byte-level tokenizer splits text: "gpt-2", "llama-bpe", "qwen2", ...</summary>
    public string Pre { get; init; } = "default";

    /// <summary>The tokens, by id.</summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    /// <summary>The scores of SentencePiece's tokens; empty if the file has none.</summary>
    public IReadOnlyList<double> Scores { get; init; } = [];

    /// <summary>1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty if all are normal.</summary>
    public IReadOnlyList<int> TokenTypes { get; init; } = [];

    /// <summary>The merges of a byte-level tokenizer: "Ġ t".</summary>
    public IReadOnlyList<string> Merges { get; init; } = [];

    public int? BosId { get; init; }

    public int? EosId { get; init; }

    public int? UnknownId { get; init; }

    public int? PadId { get; init; }

    /// <summary>Whether a text begins with the beginning-of-sequence token; null is the default of the kind.</summary>
    public bool? AddsBos { get; init; }

    /// <summary>Whether a text ends with the end-of-sequence token.</summary>
    public bool? AddsEos { get; init; }

    /// <summary>Whether SentencePiece puts a space before a text. Default: true.</summary>
    public bool? AddsSpacePrefix { get; init; }

    /// <summary>A template in Jinja; null if the file has none.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Whether the kind, and the way to split text, are known, so that the tokenizer can be built.</summary>
    public bool IsKnown => GgufVocabularyConverter.IsKnown(this);

    /// <summary>The files tokenizer.json and tokenizer_config.json of the same tokenizer.</summary>
    /// <exception cref="TokenizerFormatException">The kind is not known, or a token id is outside of the vocabulary.</exception>
    public IReadOnlyDictionary<string, byte[]> ToFiles() => GgufVocabularyConverter.Convert(this);
}
