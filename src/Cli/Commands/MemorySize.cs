using System.Globalization;
using System.Text.RegularExpressions;

namespace Ndif.Cli.Commands;

/// <summary>An amount of memory as people write it: 8GB, 1.5 GiB, 512M, 1000000.</summary>
internal static partial class MemorySize
{
    private static readonly string[] _prefixes = ["", "K", "M", "G", "T"];

    /// <param name="optionName">The option, for the message.</param>
    /// <returns>Bytes; null if nothing is given.</returns>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static long? Parse(string optionName, string? text)
    {
        if (text is null) return null;
        Match match = Pattern().Match(text);
        if (!match.Success) throw Bad();
        double unit = Math.Pow(match.Groups["binary"].Success ? 1024 : 1000, Array.IndexOf(_prefixes, match.Groups["prefix"].Value.ToUpperInvariant()));
        double bytes = double.Parse(match.Groups["number"].Value, CultureInfo.InvariantCulture) * unit;
        return bytes is >= 0 and < 1e18 ? (long)bytes : throw Bad();

        ArgumentException Bad() => new($"{optionName} is an amount of memory such as 8GB, 1.5GiB or 512MB, not `{(text.Length <= 40 ? text : text[..40])}`.");
    }

    [GeneratedRegex(@"^\s*(?<number>\d{1,18}(\.\d{1,9})?)\s*((?<prefix>[kmgt]?)(?<binary>i)?b?)\s*\z", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
