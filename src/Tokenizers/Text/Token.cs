namespace Ndif.Tokenizers.Text;

/// <summary>A token of an encoded text.</summary>
/// <param name="Id">The token id.</param>
/// <param name="Origin">The range of the original text that the token covers; (0, 0) for a token that the post-processor added.</param>
/// <param name="Text">The covered text if it differs from the vocabulary: an added token with its white space. Otherwise null.</param>
internal readonly record struct Token(int Id, Origin Origin, string? Text = null)
{
    /// <summary>The type that a model has an embedding for: 0, or 1 in the second text of a pair.</summary>
    public int TypeId { get; init; }
}
