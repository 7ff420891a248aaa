using System.Globalization;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>How often an expression is repeated.</summary>
/// <param name="Min">The smallest number.</param>
/// <param name="Max">The largest number, or null if there is none.</param>
/// <param name="IsReluctant">True if fewer repetitions are tried first.</param>
/// <param name="IsPossessive">True if repetitions are not given back.</param>
internal readonly record struct Quantifier(int Min, int? Max, bool IsReluctant, bool IsPossessive)
{
    /// <summary>Repeats an expression of .NET's syntax. The result can be repeated again.</summary>
    public string ApplyTo(string atom)
    {
        // .NET never tries to leave out an optional atomic group: (?>a+)?[ab] does not match "a". An alternative does it.
        bool isAlternative = Min == 0 && atom.Contains("(?>", StringComparison.Ordinal);
        string repeated = isAlternative && Max == 1 ? atom : atom + Suffix(isAlternative ? 1 : Min);
        if (isAlternative) repeated = IsReluctant ? $"|{repeated}" : $"{repeated}|";
        return IsPossessive ? $"(?>{repeated})" : $"(?:{repeated})";
    }

    private string Suffix(int min)
    {
        string text = (min, Max) switch
        {
            (0, null) => "*",
            (1, null) => "+",
            (0, 1) => "?",
            (_, null) => string.Create(CultureInfo.InvariantCulture, $"{{{min},}}"),
            var (_, max) when max == min => string.Create(CultureInfo.InvariantCulture, $"{{{min}}}"),
            var (_, max) => string.Create(CultureInfo.InvariantCulture, $"{{{min},{max}}}"),
        };
        return IsReluctant ? text + "?" : text;
    }
}
