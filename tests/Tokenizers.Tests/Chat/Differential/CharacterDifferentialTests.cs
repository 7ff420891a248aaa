using System.Globalization;
using System.Text;
using System.Text.Json;
using Ndif.Tokenizers.Chat;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>
/// Compares case and classes of the characters of the basic plane with Python, but for those that are newer than its Unicode.
/// </summary>
public sealed class CharacterDifferentialTests
{
    private const string Template = "{% for c in chars %}{{ c.upper() }}|{{ c.lower() }}|{{ c.title() }}|{{ c.casefold() }}|"
        + "{{ c.swapcase() }}|{{ [c] }}|"
        + "{{ c.isalpha() }}{{ c.isdigit() }}{{ c.isdecimal() }}{{ c.isnumeric() }}{{ c.isspace() }}{{ c.isupper() }}{{ c.islower() }}|{{ ('a' ~ c ~ 'b').split()|length }}|"
        + "{{ c|wordcount }}|{{ ('a' ~ c ~ 'b').splitlines()|length }}\n{% endfor %}";

    [Fact]
    public void CaseAndClasses_ArePythons()
    {
        Assert.SkipWhen(JinjaOracle.Missing is not null, JinjaOracle.Missing ?? "");
        Dictionary<string, JsonElement> contexts = [];
        for (int start = 0; start < 0x10000; start += 0x400)
        {
            string[] chars = [.. Enumerable.Range(start, 0x400).Where(IsOld).Select(code => ((char)code).ToString())];
            if (chars.Length > 0) contexts[start.ToString("x4", CultureInfo.InvariantCulture)] =
                JsonSerializer.SerializeToElement(new { chars });
        }
        var answers = JinjaOracle.Render(contexts, contexts.Keys.Select(name => (Template, name)));
        List<string> differences = [];
        foreach (var (context, answer) in contexts.Zip(answers))
        {
            Assert.Null(answer.Error);
            string text = new ChatTemplate(Template).Render(
                context.Value.EnumerateObject().ToDictionary(p => p.Name, p => (object?)p.Value));
            string[] here = text.Split('\n'), python = answer.Text!.Split('\n');
            Assert.Equal(python.Length, here.Length);
            foreach (var (x, y) in here.Zip(python))
                if (x != y) differences.Add($"{x}   Python: {y}");
        }
        Assert.True(differences.Count == 0, $"{differences.Count}\n" + string.Join('\n', differences.Take(100)));
    }

    /// <summary>Leaves out surrogates, line ends, and letters that came after Unicode 14 or whose class changed since.</summary>
    private static bool IsOld(int code) => code is not ('\n' or '\r')
        && CharUnicodeInfo.GetUnicodeCategory((char)code) is not (UnicodeCategory.Surrogate
        or UnicodeCategory.OtherNotAssigned or UnicodeCategory.PrivateUse)
            && code is not (0x1c89 or 0x1c8a or (>= 0xa7cb and <= 0xa7dc) or 0x0cf3 or 0x0ece
        or (>= 0x2ffc and <= 0x2fff) or 0x31ef or 0x31e4 or 0x31e5 or 0x019b or 0x0264 or 0x0897 or 0x1b4e or 0x1b4f or 0x1b7f or 0x2427
            or 0x2428 or 0x2429);
}
