namespace Ndif.Tokenizers.Text;

/// <summary>A token of the encoded text.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Origin">What it stands for in the original text; (0, 0) for one that the post-processor put in.</param>
/// <param name="Text">What it stands for, where that is more than the vocabulary says: an added token with its white space.</param>
internal readonly record struct Token(int Id, Origin Origin, string? Text = null);
