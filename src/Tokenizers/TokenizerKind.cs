namespace Ndif.Tokenizers;

/// <summary>The families of tokenizer classes that differ in which settings of tokenizer_config.json they apply.</summary>
internal enum TokenizerKind
{
    /// <summary>All stages come from tokenizer.json.</summary>
    Generic,

    /// <summary>Byte-level BPE: <c>add_prefix_space</c>.</summary>
    ByteLevel,

    /// <summary>Byte-level BPE with RoBERTa's post-processor: <c>add_prefix_space</c> and <c>trim_offsets</c>.</summary>
    Roberta,

    /// <summary>WordPiece: <c>do_lower_case</c>, <c>strip_accents</c>, <c>tokenize_chinese_chars</c>.</summary>
    Bert,

    /// <summary>SentencePiece BPE with byte fallback: <c>add_prefix_space</c> and <c>legacy</c>.</summary>
    Llama,

    /// <summary>SentencePiece BPE with byte fallback and without a prefix.</summary>
    Gemma,

    /// <summary>SentencePiece unigram: <c>add_prefix_space</c>.</summary>
    SentencePiece,
}
