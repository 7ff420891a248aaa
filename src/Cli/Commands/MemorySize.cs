using System.Globalization;
using System.Text.RegularExpressions;

namespace Ndif.Cli.Commands;

/// <summary>Parses an amount of memory: 8GB, 1.5 GiB, 512M, 1000000.</summary>
internal static partial class MemorySize
{
    private static readonly string[] _prefixes = ["", "K", "M", "G", "T"];

    /// <param name="optionName">The name of the option, for the error message.</param>
    /// <returns>The number of bytes; null if <paramref name="text"/> is null.</returns>
    /// <exception cref="ArgumentException">The text is not an amount of memory.</exception>
    public static long? Parse(string optionName, string? text)
    {
        if (text is null) return null;
        Match match = Pattern().Match(text);
        if (!match.Success) throw Bad();
        double unit = Math.Pow(
            match.Groups["binary"].Success ? 1024 : 1000, Array.IndexOf(_prefixes, match.Groups["prefix"].Value.ToUpperInvariant()));
        double bytes = double.Parse(match.Groups["number"].Value, CultureInfo.InvariantCulture) * unit;
        return bytes is >= 0 and < 1e18 ? (long)bytes : throw Bad();

        ArgumentException Bad() =>
            new($"{optionName} must be an amount of memory such as 8GB, 1.5GiB or 512MB, not `{(text.Length <= 40 ? text : text[..40])}`.");
    }

    [GeneratedRegex(@"^\s*(?<number>\d{1,18}(\.\d{1,9})?)\s*((?<prefix>[kmgt]?)(?<binary>i)?b?)\s*\z",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
