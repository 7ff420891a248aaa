using System.Text;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>
/// Writes random templates: statements with white space control around random expressions. A seed always gives the same template.
/// </summary>
internal sealed class RandomTemplateGenerator
{
    private readonly Random _random;
    private readonly RandomExpressionGenerator _expressions;
    private readonly StringBuilder _text = new();
    private readonly List<string> _macros = [];
    private int _next;

    private RandomTemplateGenerator(int seed)
    {
        _random = new Random(seed);
        _expressions = new RandomExpressionGenerator(_random);
    }

    public static string Create(int seed)
    {
        RandomTemplateGenerator generator = new(seed);
        if (seed % 20 != 0) generator._text.Append("{% set ns = namespace(i=0, s='') %}");
        if (seed % 3 == 0) generator.Print(3);
        else generator.Statements(2);
        return generator._text.ToString();
    }

    private T Pick<T>(params ReadOnlySpan<T> choices) => _expressions.Pick(choices);

    private string Sign => Pick("", "", "", "-", "+");

    private string EndSign => Pick("", "", "", "-");

    private void Tag(string content) => _text.Append("{%").Append(Sign).Append(' ').Append(content).Append(' ').Append(EndSign).Append(
        "%}");

    private void Print(int depth) =>
        _text.Append("{{").Append(Pick("", "", "-", " ")).Append(' ').Append(_expressions.Any(depth)).Append(Pick(" ", " -")).Append("}}");

    private void Statements(int depth)
    {
        int names = _expressions.Names.Count;
        for (int count = _random.Next(1, 5); count > 0; count--)
        {
            _text.Append(Pick("", "", "\n", "  ", "\n  ", "text ", "a\n", "\t", "\n\n "));
            Statement(depth);
        }
        _text.Append(Pick("", "", "\n", " end "));
        _expressions.Names.RemoveRange(names, _expressions.Names.Count - names);
    }

    private string NewName()
    {
        string name = Pick("a", "b", "c", "v", "items", "s", "x" + _next++ % 3);
        return name;
    }

    private void Statement(int depth)
    {
        switch (depth <= 0 ? _random.Next(4) : _random.Next(_expressions.Chance(0.2) ? 20 : 19))
        {
            case 0 or 1: Print(2); break;
            case 2: _text.Append(Pick("{# c #}", "{#- c -#}", "{# c\n #}\n", "{#+ c +#}")); break;
            case 3: Set(); break;
            case 4 or 5 or 6: If(depth); break;
            case 7 or 8 or 9 or 10: For(depth); break;
            case 11 or 12: Macro(depth); break;
            case 13: CallMacro(depth); break;
            case 14: SetBlock(depth); break;
            case 15: FilterBlock(depth); break;
            case 16: With(depth); break;
            case 17: Tree(); break;
            case 18: Rare(depth); break;
            default: Loose(); break;
        }
    }

    private void Set()
    {
        string name = NewName();
        if (_expressions.Chance(0.2)) Tag($"set {name}, b = {_expressions.Any(1)}, {_expressions.Any(1)}");
        else if (_expressions.Chance(0.25)) Tag(
            Pick("set ns.i = ns.i + 1", $"set ns.s = ns.s ~ {_expressions.Text(1)}", $"set ns.v = {_expressions.Any(1)}"));
        else Tag($"set {name} = {_expressions.Any(2)}");
        _expressions.Names.Add(name);
    }

    private void If(int depth)
    {
        Tag($"if {_expressions.Truth(2)}");
        Statements(depth - 1);
        if (_expressions.Chance(0.3))
        {
            Tag($"elif {_expressions.Truth(1)}");
            Statements(depth - 1);
        }
        if (_expressions.Chance(0.4))
        {
            Tag("else");
            Statements(depth - 1);
        }
        Tag("endif");
    }

    private void For(int depth)
    {
        int names = _expressions.Names.Count;
        string items = _expressions.List(2), target = Pick("i", "x", "m", "s");
        if (_expressions.Chance(0.25)) (target, items) =
            ("k, v", Pick("d.items()", "o.items()", "d|dictsort", "[(1, 2), (3, 4)]", "users|groupby('age')", "o|items"));
        _expressions.Names.AddRange(target.Split(", "));
        string condition = _expressions.Chance(0.25) ? $" if {_expressions.Truth(2).Replace("loop", "n", StringComparison.Ordinal)}" : "";
        Tag($"for {target} in {items}{condition}");
        bool isInLoop = _expressions.IsInLoop;
        _expressions.IsInLoop = true;
        if (_expressions.Chance(0.4))
            _text.Append("{{ " + Pick("loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex",
                "loop.previtem", "loop.nextitem",
                "loop.cycle('a', 'b')", "loop.changed(" + target.Split(", ")[0] + ")", "loop.depth0", "loop") + " }}");
        if (_expressions.Chance(0.2)) Tag($"if {_expressions.Truth(1)}{EndTagged(Pick("break", "continue"))}");
        Statements(depth - 1);
        _expressions.IsInLoop = isInLoop;
        _expressions.Names.RemoveRange(names, _expressions.Names.Count - names);
        if (_expressions.Chance(0.3))
        {
            Tag("else");
            Statements(depth - 1);
        }
        Tag("endfor");
    }

    private static string EndTagged(string statement) => " %}{% " + statement + " %}{% endif";

    private void Macro(int depth)
    {
        string name = "m" + _macros.Count % 3;
        Tag($"macro {name}({Pick("", "p", "p, q=2", "p='d', q=p", "p, q, r=none")})");
        int names = _expressions.Names.Count;
        bool isInLoop = _expressions.IsInLoop;
        _expressions.IsInLoop = false;
        _expressions.Names.AddRange(["p", "q"]);
        _text.Append(Pick("", "{{ p }}|{{ q }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}",
            "{{ caller(1) if caller else 'none' }}", "{{ caller is defined }}"));
        Statements(depth - 1);
        _expressions.Names.RemoveRange(names, _expressions.Names.Count - names);
        _expressions.IsInLoop = isInLoop;
        Tag("endmacro");
        _macros.Add(name);
        if (_expressions.Chance(0.8)) _text.Append("{{ " + CallOf(name) + " }}");
    }

    private string CallOf(string name) => $"{name}({(_expressions.Chance(0.8)
        ? Pick("", "1", _expressions.Any(1), "p=" + _expressions.Any(1))
        : Pick("1, 2", "q=1", "1, 2, 3, 4", "1, z=3", "*items", "**o", "*[1], **{'q': 5}"))})";

    private void CallMacro(int depth)
    {
        if (_macros.Count == 0)
        {
            Macro(depth);
            return;
        }
        string name = Pick(_macros.ToArray());
        if (_expressions.Chance(0.4))
        {
            _text.Append("{{ " + CallOf(name) + " }}");
            return;
        }
        Tag($"call{Pick("", "(w)", "(w=1, t=2)")} {CallOf(name)}");
        bool isInLoop = _expressions.IsInLoop;
        _expressions.IsInLoop = false;
        _text.Append(Pick("", "{{ w }}"));
        Statements(depth - 1);
        _expressions.IsInLoop = isInLoop;
        Tag("endcall");
    }

    private void SetBlock(int depth)
    {
        string name = NewName();
        Tag($"set {name}{Pick("", " | upper", " | trim | length", " | indent(2)")}");
        Statements(depth - 1);
        Tag("endset");
        _text.Append("[{{ " + name + " }}]");
        _expressions.Names.Add(name);
    }

    private void FilterBlock(int depth)
    {
        Tag($"filter {Pick("upper", "trim", "indent(2)", "replace('a', 'b')", "title | e", "length", "wordwrap(9)", "truncate(12)")}");
        Statements(depth - 1);
        Tag("endfilter");
    }

    private void With(int depth)
    {
        int names = _expressions.Names.Count;
        Tag($"with {Pick($"w = {_expressions.Any(1)}", $"w = {_expressions.Any(1)}, s = w", $"s = {_expressions.Text(1)}, t = s", "")}");
        _expressions.Names.AddRange(["w", "t"]);
        Statements(depth - 1);
        _expressions.Names.RemoveRange(names, _expressions.Names.Count - names);
        Tag("endwith");
    }

    private void Tree() => _text.Append("{% for node in tree recursive %}"
        + Pick("", "{{ loop.depth }}:", "{{ loop.index }}/{{ loop.length }}:", "{{ loop.depth0 }}")
        + "{{ node.name }}" + Pick("{{ loop(node.children) }}", "{% if node.children %}({{ loop(node.children) }}){% endif %}",
            "{%- if not loop.last %},{% endif %}{{ loop(node.children)|upper }}") + Pick("", "{% else %}-") + "{% endfor %}");

    private void Rare(int depth)
    {
        switch (_random.Next(7))
        {
            case 0: _text.Append(Pick("{% raw %}{{ x }}\n{% endraw %}\n", "{%- raw -%} {% if %} {%- endraw -%}\n x",
                "  {% raw %}\n  y\n  {% endraw %}\nz")); break;
            case 1: Tag($"print {_expressions.Any(1)}, {_expressions.Any(1)}"); break;
            case 2: _text.Append("{% generation %}"); Statements(depth - 1); _text.Append("{% endgeneration %}"); break;
            case 3: _text.Append("{% set cy = cycler('a', 'b') %}{{ cy.next() }}{{ cy.next() }}{{ cy.current }}{{ cy.reset() }}{{ cy.next() }}"); break;
            case 4: _text.Append("{% set jn = joiner('; ') %}{% for i in [1, 2] %}{{ jn() }}{{ i }}{% endfor %}"); break;
            case 5: _text.Append("{{ strftime_now('" + Pick("%d %b %Y", "%Y-%m-%d", "%A %-d %B", "%H:%M:%S %p %j %U %y", "%I%%")
                + "') }}"); break;
            default: _text.Append("{% block b" + _next++ + Pick("", " scoped") + " %}{{ s }}{{ a }}{{ i }}{% endblock %}"); break;
        }
    }

    /// <summary>Expressions that are often an error: an operator, method or filter on a value of any type.</summary>
    private void Loose() => _text.Append("{{ " + (_random.Next(5) switch
    {
        0 => $"{_expressions.Any(1)} {Pick("+", "-", "*", "/", "//", "%", "**", "~", "<", "in", "==")} {_expressions.Any(1)}",
        1 => $"({_expressions.Any(1)}) | {Pick("upper", "length", "list", "sort", "join", "first", "last", "reverse", "sum", "int",
            "float", "abs", "round", "trim", "title",
            "tojson", "unique|list", "map('upper')|list", "select|list", "dictsort", "items|list", "min", "string", "wordcount", "indent",
                "center(5)", "replace('a', 'b')",
            "attr('name')", "batch(2)|list", "slice(2)|list", "escape", "urlencode", "format(1)", "truncate(5)", "striptags",
                "filesizeformat", "groupby('a')|list")}",
        2 => $"({_expressions.Any(1)}).{Pick("upper()", "items()", "keys()|list", "name", "get('a')", "split()", "append(1)", "pop()",
            "index(1)", "foo", "foo.bar", "count(1)", "0", "b")}",
        3 => $"({_expressions.Any(1)})[{Pick("0", "-1", "'a'", "'name'", "'upper'", "none", "1.0", "true")}]",
        _ => $"({_expressions.Any(1)}) is {Pick("odd", "divisibleby 2", "lower", "in words", "gt 1", "sameas none", "mapping", "iterable",
            "eq n", "filter")}",
    }) + " }}");
}
