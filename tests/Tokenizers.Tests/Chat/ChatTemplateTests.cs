using System.Diagnostics;
using System.Text.Json;
using Ndif.Tokenizers.Chat;

namespace Ndif.Tokenizers.Tests.Chat;

public sealed class ChatTemplateTests
{
    private static readonly JsonElement _variables = JsonDocument.Parse("""
        {"x": 3, "y": 2.5, "name": "Ada", "items": [3, 1, 2], "users": [{"name": "Bo", "age": 3}, {"name": "al", "age": 5}],
         "empty": "", "nothing": null, "d": {"b": 1, "a": [1, "x", null, true, {"k": 2.0}]}, "text": "one two  three\nfour", "yes": true}
        """).RootElement;

    private static string Render(string template) =>
        new ChatTemplate(template).Render(_variables.EnumerateObject().ToDictionary(p => p.Name, p => (object?)p.Value));

    private static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));

    public static TheoryData<string, string?> Expressions()
    {
        using var reader = new StreamReader(typeof(ChatTemplateTests).Assembly.GetManifestResourceStream("expressions.txt")!);
        TheoryData<string, string?> cases = [];
        foreach (string line in reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string?[] pair = JsonSerializer.Deserialize<string?[]>(line)!;
            cases.Add(pair[0]!, pair[1]);
        }
        return cases;
    }

    /// <summary>
    /// expressions.txt contains templates and the output of Jinja2 3.1.6 for them, with the settings of transformers; null for an error.
    /// </summary>
    [Theory]
    [MemberData(nameof(Expressions))]
    public void Expressions_AreJinjas(string template, string? expected)
    {
        if (expected is null) Assert.Throws<TokenizerFormatException>(() => Render(template));
        else Assert.Equal(expected, Render(template));
    }

    [Theory]
    [InlineData("a\n{% if x %}", "line 2: endif is missing")]
    [InlineData("{% include 'a' %}", "the statement 'include' is not supported: a chat template cannot read other templates")]
    [InlineData("{% import 'a' as b %}", "the statement 'import' is not supported")]
    [InlineData("{% from 'a' import b %}", "the statement 'from' is not supported")]
    [InlineData("{% extends 'a' %}", "the statement 'extends' is not supported")]
    [InlineData("{% autoescape true %}{% endautoescape %}", "the statement 'autoescape' is not supported")]
    [InlineData("{% trans %}{% endtrans %}", "the statement 'trans' is not supported")]
    [InlineData("{% do x %}", "the statement 'do' is not supported")]
    [InlineData("{% block a required %}{% endblock %}", "a required block is not supported")]
    [InlineData("{% block a %}{{ super() }}{% endblock %}", "'super' is not supported")]
    [InlineData("{{ self.a() }}", "'self' is not supported")]
    [InlineData("{% block a %}{% endblock %}{% block a %}{% endblock %}", "the block 'a' is there twice")]
    [InlineData("{% if x %}{{ x | random }}{% endif %}", "the filter 'random' is not supported: its result is random")]
    [InlineData("{{ x | urlize }}", "the filter 'urlize' is not supported")]
    [InlineData("{{ '\\N{DASH}' }}", "\\N{name} is not supported")]
    [InlineData("{{ '\\ud800' }}", "\\ud800 is no character of Unicode")]
    [InlineData("{{ '\\x4' }}", "needs 2 hexadecimal digits")]
    [InlineData("{% break %}", "'break' is outside of a loop")]
    [InlineData("{% for i in x %}{% macro f() %}{% continue %}{% endmacro %}{% endfor %}", "'continue' is outside of a loop")]
    [InlineData("{% for i in x %}{% set loop = 1 %}{% endfor %}", "'loop' of a loop cannot be set")]
    [InlineData("{% macro f(a=1, b) %}{% endmacro %}", "the parameter 'b' follows a parameter with a default")]
    [InlineData("{% call x %}{% endcall %}", "a call block needs a call")]
    [InlineData("{{ f(a=1, 2) }}", "the arguments of a call are not in order")]
    [InlineData("{% set true = 1 %}", "'true' cannot be set")]
    [InlineData("{{ x | frobnicate }}", "the filter 'frobnicate' is not supported")]
    [InlineData("{{ x is frobnicated }}", "the test 'frobnicated' is not supported")]
    [InlineData("{{ x", "has no end }}")]
    [InlineData("{{ 'a }}", "has no end")]
    [InlineData("{{ x + }}", "a value is expected")]
    [InlineData("{{ (x }}", "')' is expected")]
    [InlineData("{{ x y }}", "'y' is not expected here")]
    [InlineData("{{ $ }}", "'$' is not understood")]
    [InlineData("{% for in x %}{% endfor %}", "'in' is expected, not 'x'")]
    [InlineData("{% for i of x %}{% endfor %}", "'in' is expected, not 'of'")]
    [InlineData("{% endfor %}", "the statement 'endfor' is not supported")]
    public void ATemplateThatCannotBeRead_SaysWhereAndWhy(string template, string why)
    {
        var error = Assert.Throws<TokenizerFormatException>(() => new ChatTemplate(template));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("line ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\n{{ missing.field }}", "line 2: 'missing' is undefined")]
    [InlineData("{{ missing['a'] }}", "'missing' is undefined")]
    [InlineData("{{ name + 1 }}", "`+` does not go with a text and a number")]
    [InlineData("{{ x() }}", "a number cannot be called")]
    [InlineData("{{ items.append(4) }}", "would change a value")]
    [InlineData("{{ d.update({'a': 1}) }}", "would change a value")]
    [InlineData("{{ x // 0 }}", "divided by zero")]
    [InlineData("{% set a, b = items %}", "3 values cannot be given to 2 names")]
    [InlineData("{% for i in x %}{% endfor %}", "a number cannot be looped over")]
    [InlineData("{{ raise_exception('no ' ~ name) }}", "refuses this conversation: no Ada")]
    [InlineData("{{ 'a' < 1 }}", "cannot be compared")]
    [InlineData("{{ strftime_now('%Q') }}", "does not know %Q")]
    [InlineData("{% set x.y = 1 %}", "'x' is no namespace")]
    [InlineData("{{ lipsum() }}", "'lipsum' is not supported: its result is random")]
    [InlineData("{{ name.encode() }}", "the method `encode` of a text is not supported")]
    [InlineData("{{ items | map('string') }}", "an iterator cannot be printed; make a list of it first: | list")]
    [InlineData("{{ items | select | length }}", "make a list of it first: | list | length")]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "the macro 'f' takes at most 1 arguments, not 2")]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "the macro 'f' has no parameter 'b'")]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "call each other more than 200 times")]
    [InlineData("{% for i in items %}{{ loop([1]) }}{% endfor %}", "needs the word 'recursive'")]
    [InlineData("{{ d.nosuch.field }}", "a dictionary has no 'nosuch', so it has no 'field'")]
    [InlineData("{{ '%d' % name }}", "the format %d does not go with a text")]
    [InlineData("{{ 10 ** 5000 }}", "more than 4300 digits")]
    [InlineData("{{ (-8) ** 0.5 }}", "a complex number, which is not supported")]
    [InlineData("{{ x | tojson(separators=',') }}", "the separators of tojson must be two texts")]
    [InlineData("{{ range(100001) }}", "a range has more than 100000 numbers")]
    [InlineData("{% filter length %}{% endfilter %}", "the result of the filter block is a number and no text")]
    public void ATemplateThatCannotBeRendered_SaysWhereAndWhy(string template, string why)
    {
        var error = Assert.Throws<TokenizerFormatException>(() => Render(template));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("line ", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}")]
    [InlineData("{{ range(999999999999) }}")]
    [InlineData("{{ 'a' * 9999999999 }}")]
    [InlineData("{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[1, 2]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}")]
    [InlineData("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', ns.s) %}{% endfor %}")]
    [InlineData("{% set s = 'a' * 1000000 %}{% for i in range(300000) %}{{ s[0] }}{{ 'b' in s }}{{ s | length }}{% endfor %}")]
    [InlineData("{{ [1, 2] | join('x' * 100000000) }}")]
    [InlineData("{{ 'a' | indent(999999999) }}")]
    [InlineData("{{ 'a' | center(999999999) }}")]
    [InlineData("{{ '%999999999d' % 1 }}")]
    [InlineData("{{ '{:999999999}'.format(1) }}")]
    [InlineData("{{ [1] | tojson(indent=999999999) }}")]
    [InlineData("{{ [1] | batch(999999999, 0) | list }}")]
    [InlineData("{{ 'a\\tb'.expandtabs(999999999) }}")]
    [InlineData("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}")]
    [InlineData("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}")]
    [InlineData("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}")]
    [InlineData("{% set ns = namespace(l=[]) %}{% for i in range(200) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}")]
    public void ATemplateThatWouldRunOrGrowWithoutEnd_IsStopped(string template)
    {
        long start = Stopwatch.GetTimestamp();
        Assert.Throws<TokenizerFormatException>(() => Render(template));
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 20);
    }

    [Theory]
    [InlineData("(", ")")]
    [InlineData("[", "]")]
    [InlineData("not ", "")]
    [InlineData("-", "")]
    public void DeepNesting_IsRefused(string open, string close) =>
        Assert.Throws<TokenizerFormatException>(
            () => new ChatTemplate("{{ " + Repeat(open, 100_000) + "x" + Repeat(close, 100_000) + " }}"));

    [Theory]
    [InlineData("x", " + x")]
    [InlineData("x", " and x")]
    [InlineData("x", ".a")]
    [InlineData("x", "|trim")]
    [InlineData("x", " if x else x")]
    [InlineData("x", " ~ x if x")]
    public void LongChains_AreRefused(string first, string link) =>
        Assert.Throws<TokenizerFormatException>(() => new ChatTemplate("{{ " + first + Repeat(link, 100_000) + " }}"));

    [Fact]
    public void DeepStatements_AreRefused() => Assert.Throws<TokenizerFormatException>(() =>
        new ChatTemplate(Repeat("{% if x %}", 50_000) + Repeat("{% endif %}", 50_000)));

    [Fact]
    public void RandomTemplates_GiveATextOrATypedError()
    {
        string[] tokens =
        [
            "{{", "}}", "{%", "%}", "{#", "#}", "-", "if", "for", "in", "set", "x", "items", "'a'", "(", ")", "[", "]", "|", "trim",
            "is", "not", "1", ":", ",", ".", "endif", "endfor", "=", "\n", " ", "else", "loop", "~",
        ];
        Random random = new(7);
        for (int i = 0; i < 20_000; i++)
        {
            string separator = random.Next(2) == 0 ? " " : "";
            string template = string.Join(separator,
                Enumerable.Range(0, random.Next(1, 14)).Select(_ => tokens[random.Next(tokens.Length)]));
            try { Render(template); }
            catch (TokenizerFormatException) { }
        }
    }
}
