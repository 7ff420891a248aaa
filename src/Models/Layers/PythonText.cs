using System.Globalization;

namespace Ndif.Models.Layers;

/// <summary>Numbers as Python prints them: in the printed module tree an eps is 1e-05, not 1E-05.</summary>
internal static class PythonText
{
    public static string Of(double value)
    {
        double magnitude = Math.Abs(value);
        if (magnitude is 0 or (>= 1e-4 and < 1e16))
        {
            string plain = value.ToString("0.################", CultureInfo.InvariantCulture);
            return plain.Contains('.', StringComparison.Ordinal) ? plain : plain + ".0";
        }
        string[] parts = value.ToString("E16", CultureInfo.InvariantCulture).Split('E');
        int exponent = int.Parse(parts[1], CultureInfo.InvariantCulture);
        string mantissa = value.ToString("R", CultureInfo.InvariantCulture).Split('E')[0];
        return string.Create(CultureInfo.InvariantCulture, $"{mantissa}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}");
    }
}
