using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat;

/// <summary>
/// A model's chat template: how a conversation is written for it. Templates are Jinja; this reads the part of Jinja that published
/// templates use (if, for, set, expressions, filters, tests, namespace, loop controls), with transformers' settings and functions. A
/// template can read its variables and print, no more, and its steps and output are bounded (<see cref="RenderBudget"/>).
/// </summary>
/// <remarks>transformers/utils/chat_template_utils.py; jinja.palletsprojects.com/en/stable/templates</remarks>
public sealed class ChatTemplate
{
    private readonly string _location;
    private readonly TemplateBody _body;

    /// <param name="source">The template's text.</param>
    /// <param name="location">Where it stands, for errors.</param>
    /// <exception cref="TokenizerFormatException">The template cannot be read; the message says the line and why.</exception>
    public ChatTemplate(string source, string location = "chat_template")
    {
        ArgumentNullException.ThrowIfNull(source);
        _location = location;
        try
        {
            _body = TemplateParser.Parse(source);
        }
        catch (ChatTemplateException e)
        {
            throw new TokenizerFormatException(location, e.Message, e);
        }
    }

    /// <summary>Renders the template.</summary>
    /// <param name="variables">By name: texts, numbers, flags, lists, dictionaries by text, JSON elements, <see cref="ChatMessage"/>.</param>
    /// <param name="time">For strftime_now; null for the system's.</param>
    /// <exception cref="TokenizerFormatException">
    /// The template refuses the conversation (raise_exception), uses what is not supported, or takes too long.
    /// </exception>
    public string Render(IReadOnlyDictionary<string, object?> variables, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(variables);
        using StringWriter output = new();
        TemplateScope scope = new(new RenderBudget(), output);
        try
        {
            foreach (var (name, function) in GlobalFunctions(scope.Budget, time ?? TimeProvider.System)) scope.Set(name, function);
            foreach (var (name, value) in variables) scope.Set(name, TemplateValues.From(value));
            _body.Execute(scope.CreateChild());
            return output.ToString();
        }
        catch (ChatTemplateException e)
        {
            throw new TokenizerFormatException(_location, e.Message, e);
        }
    }

    private static Dictionary<string, TemplateFunction> GlobalFunctions(RenderBudget budget, TimeProvider time) => new(StringComparer.Ordinal)
    {
        ["raise_exception"] = (a, _) => throw new ChatTemplateException($"the template refuses this conversation: {TemplateValues.ToText(a.Count > 0 ? a[0] : "")}"),
        ["strftime_now"] = (a, _) => FormatTime(a.Count > 0 ? TemplateValues.ToText(a[0]) : "", time.GetLocalNow()),
        ["namespace"] = (_, k) => new NamespaceValue(k),
        ["dict"] = (_, k) => new Dictionary<string, object?>(k, StringComparer.Ordinal),
        ["range"] = (a, _) => Range([.. a.Select(v => v is long whole ? whole : throw new ChatTemplateException($"range goes over whole numbers, not {TemplateValues.DescribeType(v)}"))], budget),
    };

    private static List<object?> Range(long[] bounds, RenderBudget budget)
    {
        if (bounds.Length is 0 or > 3 || (bounds.Length == 3 && bounds[2] == 0)) throw new ChatTemplateException("range takes one to three numbers, the third not zero");
        (long from, long to, long step) = bounds.Length == 1 ? (0, bounds[0], 1) : (bounds[0], bounds[1], bounds.Length == 3 ? bounds[2] : 1);
        List<object?> numbers = [];
        for (long i = from; step > 0 ? i < to : i > to; i += step)
        {
            budget.CountStep();
            numbers.Add(i);
        }
        return numbers;
    }

    /// <summary>strftime in the C locale.</summary>
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
            bool bare = format[i + 1] == '-' && i + 2 < format.Length; // without leading zeros
            if (bare) i++;
            string part = format[++i] switch
            {
                'Y' => "yyyy", 'm' => "MM", 'd' => "dd", 'H' => "HH", 'I' => "hh", 'M' => "mm", 'S' => "ss", 'y' => "yy",
                'B' => "MMMM", 'b' or 'h' => "MMM", 'A' => "dddd", 'a' => "ddd", 'p' => "tt", 'f' => "ffffff",
                'F' => "yyyy-MM-dd", 'T' => "HH:mm:ss", 'D' => "MM/dd/yy", 'j' => "j", '%' => "%",
                char other => throw new ChatTemplateException($"strftime_now does not know %{other}"),
            };
            string written = part == "%" ? "%" : part == "j" ? now.DayOfYear.ToString("000", CultureInfo.InvariantCulture) : now.ToString(part, CultureInfo.InvariantCulture);
            text.Append(bare && written.TrimStart('0') is { Length: > 0 } trimmed ? trimmed : written);
        }
        return text.ToString();
    }
}
