using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Python's strftime in the C locale of Linux. The time has no zone, as datetime.now().</summary>
internal static class TimeFormatter
{
    public static string Format(string format, DateTimeOffset now)
    {
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            char flag = format[i + 1] is '-' or '_' or '0' or '^' or '#' && i + 2 < format.Length ? format[++i] : '\0';
            string formatted = FormatField(format[++i], now);
            text.Append(flag switch
            {
                '-' => formatted.TrimStart('0', ' ') is { Length: > 0 } trimmed ? trimmed : formatted.Length > 0 ? formatted[^1..] : "",
                '_' => PadWithSpaces(formatted),
                '^' => formatted.ToUpperInvariant(),
                '#' => throw new ChatTemplateException("strftime_now does not know the flag #"),
                _ => formatted,
            });
        }
        return text.ToString();
    }

    private static string PadWithSpaces(string text)
    {
        string trimmed = text.TrimStart('0');
        return (trimmed.Length == 0 ? "0" : trimmed).PadLeft(text.Length);
    }

    private static string FormatField(char field, DateTimeOffset now) => field switch
    {
        '%' => "%",
        'n' => "\n",
        't' => "\t",
        'j' => Number(now.DayOfYear, "000"),
        'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'k' => now.Hour.ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'l' => ((now.Hour + 11) % 12 + 1).ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'C' => Number(now.Year / 100, "00"),
        'u' => Number(((int)now.DayOfWeek + 6) % 7 + 1, "0"),
        'w' => Number((int)now.DayOfWeek, "0"),
        'U' => Number((now.DayOfYear + 6 - (int)now.DayOfWeek) / 7, "00"),
        'W' => Number((now.DayOfYear + 6 - ((int)now.DayOfWeek + 6) % 7) / 7, "00"),
        'V' => Number(ISOWeek.GetWeekOfYear(now.DateTime), "00"),
        'G' => Number(ISOWeek.GetYear(now.DateTime), "0000"),
        'g' => Number(ISOWeek.GetYear(now.DateTime) % 100, "00"),
        's' => Number(now.ToUnixTimeSeconds(), "0"),
        'z' or 'Z' => "",
        'p' => now.Hour < 12 ? "AM" : "PM",
        'P' => now.Hour < 12 ? "am" : "pm",
        'c' => now.ToString("ddd MMM ", CultureInfo.InvariantCulture) + now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2)
            + now.ToString(" HH:mm:ss yyyy", CultureInfo.InvariantCulture),
        _ => now.ToString(field switch
        {
            'Y' => "yyyy", 'm' => "MM", 'd' => "dd", 'H' => "HH", 'I' => "hh", 'M' => "mm", 'S' => "ss", 'y' => "yy",
            'B' => "MMMM", 'b' or 'h' => "MMM", 'A' => "dddd", 'a' => "ddd", 'f' => "ffffff",
            'F' => "yyyy-MM-dd", 'T' or 'X' => "HH:mm:ss", 'D' or 'x' => "MM/dd/yy", 'R' => "HH:mm", 'r' => "hh:mm:ss tt",
            char other => throw new ChatTemplateException($"strftime_now does not know %{other}"),
        }, CultureInfo.InvariantCulture),
    };

    private static string Number(long value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
