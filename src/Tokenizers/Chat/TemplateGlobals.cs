using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat;

/// <summary>The global functions of a template: those of transformers (raise_exception, strftime_now) and some of Jinja.</summary>
/// <remarks>transformers, utils/chat_template_utils.py, _compile_jinja_template; jinja2/defaults.py</remarks>
internal static class TemplateGlobals
{
    public static Dictionary<string, TemplateFunction> Create(RenderBudget budget, TimeProvider time) => new(StringComparer.Ordinal)
    {
        ["raise_exception"] = arguments => throw new ChatTemplateException(
            $"the template refuses this conversation: {TemplateValueFormatter.ToText(GetFirst(arguments))}"),
        ["strftime_now"] = arguments => FormatTime(TemplateValueFormatter.ToText(GetFirst(arguments)), time.GetLocalNow()),
        ["namespace"] = arguments => new NamespaceValue(arguments.Keywords),
        ["dict"] = arguments => new Dictionary<string, object?>(arguments.Keywords, StringComparer.Ordinal),
        ["range"] = arguments => Range([.. arguments.Positional.Select(RequireInteger)], budget),
    };

    private static object? GetFirst(TemplateArguments arguments) => arguments.Count > 0 ? arguments[0] : "";

    private static long RequireInteger(object? value) => value is long integer ? integer
        : throw new ChatTemplateException($"range needs whole numbers, not {TemplateValues.DescribeType(value)}");

    private static List<object?> Range(long[] bounds, RenderBudget budget)
    {
        if (bounds.Length is 0 or > 3 || (bounds.Length == 3 && bounds[2] == 0))
            throw new ChatTemplateException("range takes one to three numbers, and the third must not be zero");
        (long start, long stop, long step) = bounds.Length == 1
            ? (0, bounds[0], 1) : (bounds[0], bounds[1], bounds.Length == 3 ? bounds[2] : 1);
        List<object?> numbers = [];
        for (long i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            budget.CountStep();
            numbers.Add(i);
        }
        return numbers;
    }

    /// <summary>Python's strftime in the C locale.</summary>
    private static string FormatTime(string format, DateTimeOffset now)
    {
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            bool omitsLeadingZeros = format[i + 1] == '-' && i + 2 < format.Length;
            if (omitsLeadingZeros) i++;
            string netFormat = format[++i] switch
            {
                'Y' => "yyyy", 'm' => "MM", 'd' => "dd", 'H' => "HH", 'I' => "hh", 'M' => "mm", 'S' => "ss", 'y' => "yy",
                'B' => "MMMM", 'b' or 'h' => "MMM", 'A' => "dddd", 'a' => "ddd", 'p' => "tt", 'f' => "ffffff",
                'F' => "yyyy-MM-dd", 'T' => "HH:mm:ss", 'D' => "MM/dd/yy", 'j' => "j", '%' => "%",
                char other => throw new ChatTemplateException($"strftime_now does not know %{other}"),
            };
            string formatted = netFormat switch
            {
                "%" => "%",
                "j" => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
                _ => now.ToString(netFormat, CultureInfo.InvariantCulture),
            };
            text.Append(omitsLeadingZeros && formatted.TrimStart('0') is { Length: > 0 } trimmed ? trimmed : formatted);
        }
        return text.ToString();
    }
}
