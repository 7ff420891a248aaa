namespace Ndif.Tokenizers.Text;

/// <summary>The range of the original text, in UTF-16 code units, that a char or a token came from.</summary>
internal readonly record struct Origin(int Start, int End);
