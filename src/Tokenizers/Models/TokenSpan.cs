namespace Ndif.Tokenizers.Models;

/// <summary>A token and the range of the text, in UTF-16 code units, that it covers.</summary>
internal readonly record struct TokenSpan(int Id, int Start, int End);
