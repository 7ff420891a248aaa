using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>The chars of a pattern and the position of the parser in them.</summary>
internal sealed class PatternScanner(string pattern)
{
    public int Position { get; set; }

    public bool IsAtEnd => Position >= pattern.Length;

    public char Current => pattern[Position];

    public bool StartsWith(string text) => string.CompareOrdinal(pattern, Position, text, 0, text.Length) == 0;

    /// <summary>Skips a text if the rest of the pattern starts with it.</summary>
    public bool TrySkip(string text)
    {
        if (!StartsWith(text)) return false;
        Position += text.Length;
        return true;
    }

    /// <summary>Reads one code point.</summary>
    public int Next()
    {
        if (IsAtEnd) throw CreateException("it ends unexpectedly");
        Rune.DecodeFromUtf16(pattern.AsSpan(Position), out var rune, out int length);
        Position += length;
        return rune.Value;
    }

    /// <summary>Reads up to and including a terminator and returns the text before it.</summary>
    public string Until(char terminator, string construct)
    {
        int end = pattern.IndexOf(terminator, Position);
        if (end < 0) throw CreateException($"{construct} has no '{terminator}'");
        string text = pattern[Position..end];
        Position = end + 1;
        return text;
    }

    /// <summary>Reads at most a number of digits of a base and returns null if there is none.</summary>
    public int? Digits(int numberBase, int maxLength)
    {
        int start = Position;
        long number = 0;
        while (!IsAtEnd && Position - start < maxLength && DigitOf(Current) is var digit && digit < numberBase && number <= 0x10FFFF)
        {
            number = number * numberBase + digit;
            Position++;
        }
        if (number > 0x10FFFF) throw CreateException("the code point is larger than U+10FFFF");
        return Position > start ? (int)number : null;
    }

    public FormatException CreateException(string reason) => CreateException(reason, Position);

    public static FormatException CreateException(string reason, int position) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{reason} (at position {position})"));

    public static FormatException NotSupported(string construct, int position) =>
        CreateException($"{construct} is not supported", position);

    private static int DigitOf(char c) => c switch
    {
        >= '0' and <= '9' => c - '0',
        >= 'a' and <= 'f' => c - 'a' + 10,
        >= 'A' and <= 'F' => c - 'A' + 10,
        _ => int.MaxValue,
    };
}
