using System.Globalization;

namespace Ndif.Models.Layers;

/// <summary>Numbers as Python prints them: in the printed module tree an eps is 1e-05, not 1E-05.</summary>
internal static class PythonNumberFormat
{
    public static string Format(double value)
    {
        string text = value.ToString("R", CultureInfo.InvariantCulture); // the shortest that reads back, as Python's
        if (text.Split('E') is not [string mantissa, string exponent])
            return text.Contains('.', StringComparison.Ordinal) ? text : text + ".0";
        return $"{mantissa}e{exponent[0]}{exponent[1..].PadLeft(2, '0')}";
    }
}
