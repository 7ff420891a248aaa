using System.Text;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>A pattern in .NET's syntax. A marker char stands for each class until it is known how the class is written.</summary>
/// <param name="template">The pattern with markers.</param>
/// <param name="classes">The classes; the marker of class i is <see cref="FirstMarker"/> + i.</param>
internal sealed class TranslatedPattern(string template, IReadOnlyList<CharacterClass> classes)
{
    /// <summary>The first marker, in the private use area: the pattern itself is ASCII.</summary>
    public const char FirstMarker = '\uE000';

    public const int MaxClasses = 0x1000;

    /// <summary>The limit of the written pattern. Those of published tokenizers have less than 100,000 chars.</summary>
    private const int MaxLength = 2_000_000;

    /// <summary>The chars that stand for code points beyond the basic multilingual plane.</summary>
    public SubstituteTable CreateSubstitutes() => new(classes);

    /// <summary>Writes the pattern.</summary>
    /// <param name="substitutes">The chars that stand for other code points, or null for texts of the basic multilingual plane.</param>
    /// <exception cref="FormatException">The written pattern is too long.</exception>
    public string Write(SubstituteTable? substitutes)
    {
        string[] written = [.. classes.Select(set => set.Write(substitutes))];
        var result = new StringBuilder(template.Length * 2);
        foreach (char c in template)
        {
            if (c >= FirstMarker) result.Append(written[c - FirstMarker]);
            else result.Append(c);
            if (result.Length > MaxLength) throw new FormatException($"its classes make it longer than {MaxLength} characters");
        }
        return result.ToString();
    }
}
