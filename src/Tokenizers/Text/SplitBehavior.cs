namespace Ndif.Tokenizers.Text;

/// <summary>
/// What happens to the delimiter when a pattern splits a text. The examples split <c>the-final--countdown</c> at <c>-</c>.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/normalizer.rs, SplitDelimiterBehavior</remarks>
internal enum SplitBehavior
{
    /// <summary>the | final | countdown</summary>
    Removed,

    /// <summary>the | - | final | - | - | countdown</summary>
    Isolated,

    /// <summary>the- | final- | - | countdown</summary>
    MergedWithPrevious,

    /// <summary>the | -final | - | -countdown</summary>
    MergedWithNext,

    /// <summary>the | - | final | -- | countdown</summary>
    Contiguous,
}
