using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>A range of a text that matches an added token, or the range between two matches.</summary>
/// <param name="Span">The range.</param>
/// <param name="Token">The matched token; null for a range between matches.</param>
internal readonly record struct AddedTokenMatch(TextSpan Span, AddedToken? Token);
