namespace Ndif.Tokenizers.Text;

/// <summary>The range of the original text, in UTF-16 units, that a char or a token came from.</summary>
internal readonly record struct Origin(int Start, int End);

/// <summary>A range of an <see cref="AlignedText"/>, in UTF-16 units.</summary>
internal readonly record struct TextSpan(int Start, int End)
{
    public int Length => End - Start;
}
