using System.Globalization;

namespace Ndif.Tokenizers.Tests.Chat.Differential;

/// <summary>Writes random expressions, most of which have a value of the wanted type.</summary>
internal sealed class RandomExpressionGenerator(Random random)
{
    /// <summary>Names that the statements around the expression have set.</summary>
    public List<string> Names { get; } = [];

    /// <summary>Whether the expression is in the body of a loop, so that it can read the variable loop.</summary>
    public bool IsInLoop { get; set; }

    public T Pick<T>(params ReadOnlySpan<T> choices) => choices[random.Next(choices.Length)];

    public bool Chance(double probability) => random.NextDouble() < probability;

    public string Any(int depth) => random.Next(9) switch
    {
        0 or 1 or 2 => Text(depth),
        3 or 4 => Number(depth),
        5 => Truth(depth),
        6 => List(depth),
        7 => Dictionary(depth),
        _ => Names.Count > 0 && Chance(0.5) ? Pick(Names.ToArray())
            : Pick("nothing", "missing", "mixed", "d.a", "users[0]", "(1, 'a')", "()", "d.missing"),
    };

    /// <summary>The wanted value, and at times one of another type.</summary>
    private string Maybe(string expression, int depth) => Chance(0.008) ? $"({Any(depth - 1)})" : expression;

    public string Text(int depth)
    {
        if (depth <= 0) return Maybe(Pick("s", "e", "u", "text", "csv", "pad", "'abc'", "\"it's\"", "'a\\nb'", "'x' 'y'",
            "'\\x41\\u00e9\\t'", "'%s'",
            "users[0].name", "words[1]", "messages[0]['content']", "'{}'", "'12'", "' 3.7 '", "'-5'", "'Ab cD-eF (gh'"), depth);
        int d = depth - 1;
        return Maybe(random.Next(30) switch
        {
            0 => $"({Text(d)} ~ {Any(d)})",
            1 => $"({Text(d)} + {Text(d)})",
            2 => $"({Text(d)} * {Pick("0", "2", "3", "-1", "n")})",
            3 => $"{Text(d)}[{Bound()}:{Bound()}{Pick("", "", ":2", ":-1", ":" + Bound())}]",
            4 => $"{Text(d)}.{Pick("upper", "lower", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip")}()",
            5 => $"{Text(d)}.{Pick("strip", "lstrip", "rstrip")}({Pick("'x'", "' x'", "'abc'", "none", "s")})",
            6 => $"{Text(d)}.replace({Text(0)}, {Text(0)}{Pick("", ", 1", ", 0", ", -1")})",
            7 => $"{Text(d)}.{Pick("center", "ljust", "rjust")}({Pick("3", "8", "15")}{Pick("", ", '*'")})",
            8 => $"{Text(d)}.{Pick("zfill(5)", "expandtabs(4)", "removeprefix('a')", "removesuffix('c')", "rsplit(' ')[0]",
                "split(',')[-1]")}",
            9 => $"{Text(d)}.join({Pick("words", "csv.split(',')", "[s, 'b']", "('x', 'y')", "items|map('string')")})",
            10 => $"({Text(d)} | {Pick("upper", "lower", "title", "capitalize", "trim", "string", "reverse", "e", "forceescape",
                "striptags", "urlencode", "safe")})",
            11 => $"({Text(d)} | {Pick("trim('x')", "center(9)", "indent", "indent(2, true)", "indent('> ', first=true, blank=true)",
                "truncate(6)",
                "truncate(9, true, '..')", "truncate(7, leeway=0)", "wordwrap(7)", "wordwrap(5, false)", "wordwrap(6, wrapstring='|')")})",
            12 => $"({Text(d)} | replace({Text(0)}, {Text(0)}{Pick("", ", 1", ", count=2")}))",
            13 => $"({Any(d)} | {Pick("string", "tojson", "default('D')", "default('D', true)", "d(boolean=true)", "pprint")})",
            14 => $"({Any(d)} | tojson({Pick("indent=2", "ensure_ascii=true", "sort_keys=true", "separators=(',', ':')",
                "indent=1, separators=(';', '=')",
                "indent='--'", "indent=0", "true")}))",
            15 => $"({List(d)} | join({Pick("", "', '", "s", "d='-'", "1")}))",
            16 => $"(users | join('/', attribute='{Pick("name", "age", "address.city", "tags.0")}'))",
            17 => $"('{Pick("%s", "%r", "%5s|", "%-5s|", "%.2s", "[%s]")}' % {Pick($"({Any(d)},)", Text(0), "n", "items", "d",
                "nothing")})",
            18 when Chance(0.7) => $"('{Pick("%d", "%5d", "%-5d|", "%05d", "%+d", "%x", "%#x", "%o", "%.1f", "%e", "%g", "%8.3f", "%c",
                "%i%%")}' % {Number(d)})",
            19 => "(" + Pick("'%s-%s'|format(s, n)", "'%(a)s'|format(a=n)", "'%*d'|format(5, 3)", "'%s'|format(n)", "'%s %s'|format(1)",
                "'%5.1f|%-6s|'|format(f, e)") + ")",
            20 => $"'{Pick("{}", "{:>8}", "{:*^9}", "{!r}", "{0}{0}", "{:<4}|", "{:.3}")}'.format({Text(d)})",
            21 => $"'{Pick("{}", "{:5}", "{:,}", "{:+.2f}", "{:05}", "{:x}", "{:#b}", "{:e}", "{:.1%}", "{:g}", "{:_}", "{:>6d}",
                "{:^9.1f}", "{:.3}")}'.format({Number(d)})",
            22 => Pick("'{a[b]}'.format(a=d)", "'{a.x}{a[y]}'.format(a=o)", "'{0[1]}'.format(items)", "'{a:>{w}}'.format(a=n, w=6)",
                "'{a} {{}}'.format(a=d)",
                "'{k}'.format_map({'k': 1})", "'{}{}'.format(1)", "'{0} {}'.format(1, 2)"),
            23 => $"({Text(d)} if {Truth(d)} else {Text(d)})",
            24 => $"({Text(d)} or {Text(d)})",
            25 => $"{Text(d)}[{Bound(1)}]",
            26 => $"({TextList(d)} | {Pick("first", "last", "min", "max")})",
            27 => $"({Number(d)} | filesizeformat{Pick("", "(true)")})",
            28 => $"({Dictionary(d)} | xmlattr{Pick("", "(false)")})",
            _ => $"({Text(d)} | {Pick("e", "safe")}) {Pick("+", "~", "%")} {Text(0)}",
        }, d);
    }

    private string Bound(int least = 0) => Pick("", "0", "1", "2", "-1", "-2", "5", "100", "-100", "n")[..] is var bound
        && bound.Length >= least ? bound : "1";

    public string Number(int depth)
    {
        if (depth <= 0) return Maybe(Pick("n", "neg", "f", "g", "big", "0", "1", "2", "10", "1_000", "0x1F", "0b101", "0o17", "1.5", "1e3",
            "2.5e-3", "1e22", "0.1",
            "items[0]", "users[1].age", random.Next(-99, 999).ToString(CultureInfo.InvariantCulture),
            (random.Next(-9999, 9999) / 100.0).ToString(CultureInfo.InvariantCulture)), depth);
        int d = depth - 1;
        return Maybe(random.Next(16) switch
        {
            0 or 1 => $"({Number(d)} {Pick("+", "-", "*")} {Number(d)})",
            2 => $"({Number(d)} {Pick("/", "//", "%")} {Number(d)})",
            3 => $"({Number(0)} ** {Pick("2", "3", "0", "-1", "0.5")})",
            4 => $"({Pick("-", "+", "-")}{Number(d)})",
            5 => $"({Number(d)} | {Pick("abs", "int", "float", "round", "round(1)", "round(2, 'floor')", "round(1, 'ceil')", "round(-1)",
                "round(method='ceil')")})",
            6 => $"({Text(d)} | {Pick("int", "float", "length", "wordcount", "int(7)", "int(base=16)", "int(default=-1, base=2)",
                "float(1.5)", "count")})",
            7 => $"({NumberList(d)} | {Pick("length", "count", "sum", "sum(start=5)", "min", "max", "first", "last")})",
            8 => $"(users | {Pick("sum(attribute='age')", "map(attribute='age') | sum", "length",
                "selectattr('age', 'gt', 3) | list | length")})",
            9 => $"{Text(d)}.{Pick("find", "rfind", "count")}({Text(0)}{Pick("", ", 1", ", 1, -1")})",
            10 => $"{Pick("'Hello'", "'all'", "u")}.{Pick("index('l')", "rindex('l')", "index('l', -1)")}",
            11 => $"{Pick("items", "[1, 2, 'fig']", "(1, 2, 1)")}.{Pick("index", "count")}({Pick("1", "2", "2", "true")})",
            12 => $"({Number(d)} if {Truth(d)} else {Number(d)})",
            13 => $"d.get('{Pick("b", "zz", "items")}', {Number(0)})",
            14 => IsInLoop ? Pick("loop.index", "loop.length", "loop.revindex0", "loop.depth") : "ns.i",
            _ => $"({Number(d)} {Pick("and", "or")} {Number(d)})",
        }, d);
    }

    public string Truth(int depth)
    {
        if (depth <= 0) return Pick("yes", "no", "true", "False", "s", "empty", "nothing", "missing", "n", IsInLoop ? "loop.first" : "yes",
            IsInLoop ? "loop.last" : "no");
        int d = depth - 1;
        return random.Next(13) switch
        {
            0 => $"({Number(d)} {Pick("<", "<=", ">", ">=", "==", "!=")} {Number(d)})",
            1 => $"({Text(d)} {Pick("==", "!=", "<", ">=", "in", "not in")} {Text(d)})",
            2 => $"({Any(d)} {Pick("in", "not in")} {Pick("mixed", "words", "d", List(d))})",
            3 => $"({Any(d)} {Pick("==", "!=")} {Any(d)})",
            4 => $"(not {Truth(d)})",
            5 => $"({Truth(d)} {Pick("and", "or")} {Truth(d)})",
            6 => $"({Any(d)} is {Pick("", "not ")}{Pick("defined", "undefined", "none", "string", "mapping", "sequence", "iterable",
                "number", "integer", "float",
                "boolean", "true", "false", "callable", "escaped")})",
            7 => $"({Number(d)} is {Pick("odd", "even", "divisibleby 3", "divisibleby(2)", "eq 3", "gt 2", "lt(1)", "ge n", "ne 2",
                "sameas 3", "lessthan 9")})",
            8 => $"({Text(d)} is {Pick("lower", "upper", "in 'abc Hello'", "eq s", "in words", "filter", "test")})",
            9 => $"{Text(d)}.{Pick("isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "istitle", "isnumeric", "isdecimal",
                "isascii", "isprintable",
                "isidentifier")}()",
            10 => $"{Text(d)}.{Pick("startswith", "endswith")}({Pick("'a'", "('H', 'l')", "'d'", "'', 1", "'e', 1, 3")})",
            11 => $"({Number(0)} < {Number(d)} <= {Number(0)})",
            _ => $"('{Pick("upper", "nosuch", "tojson", "odd")}' is {Pick("filter", "test")})",
        };
    }

    public string List(int depth)
    {
        if (depth <= 0) return Maybe(Pick("items", "words", "mixed", "empty", "[1, 2, 3]", "['b', 'A', 'c']", "[]", "(3, 1)", "users",
            "range(4)", "range(5, 0, -2)",
            "d.a", "d.keys()", "d.values()|list", "[1.5, 0.5]", "'abc'", "[none, none]", "[[1, 2], [3]]"), depth);
        int d = depth - 1;
        return Maybe(random.Next(23) switch
        {
            0 => $"[{Any(d)}, {Any(d)}]",
            1 => $"({Any(d)}, {Any(d)})",
            2 => $"({List(d)} | list + {List(d)} | list)",
            3 => $"({List(d)} | list)[{Bound()}:{Bound()}{Pick("", ":2", ":-1")}]",
            4 => $"({List(d)} | {Pick("list", "reverse", "reverse | list")})",
            21 or 22 => $"({Pick(NumberList(d), TextList(d))} | {Pick("sort", "sort(reverse=true)", "sort(case_sensitive=true)", "unique",
                "unique(true)", "sort | list")})",
            5 => $"({List(d)} | {Pick("select", "reject", "select('odd')", "reject('string')", "select('number') | list",
                "select('defined') | list",
                "select('in', [1, 2, 'fig']) | list", "reject('none') | list")} {Pick("", "| list")})",
            6 => $"({List(d)} | map('{Pick("string", "upper", "int", "length", "tojson", "default', 'x", "trim")}') | list)",
            7 => $"(users | map(attribute='{Pick("name", "age", "tags", "address.city", "nope")}'{Pick("", ", default='-'")}) | list)",
            8 => $"(users | {Pick("selectattr", "rejectattr")}('{Pick("name", "age", "tags", "address")}'{Pick("", ", 'defined'",
                ", 'equalto', 3", ", 'eq', 'Bo'", ", 'string'")}) | list)",
            9 => $"(users | sort(attribute='{Pick("name", "age", "age,name")}'{Pick("",
                ", reverse=true")}) | map(attribute='name') | list)",
            10 => $"({List(d)} | batch({Pick("2", "3", "2, 'x'", "3, fill_with=0")}) | list)",
            11 => $"({List(d)} | slice({Pick("2", "3", "2, 'x'")}) | list)",
            12 => $"(users | groupby('{Pick("age", "name", "address.city")}'{Pick("", ", default='none'")}) {Pick("",
                "| map(attribute='grouper') | list", "| list | length")})",
            13 => $"({Dictionary(d)} | {Pick("dictsort", "dictsort(true)", "dictsort(by='value')", "dictsort(reverse=true)",
                "items | list", "list")})",
            14 => $"{Dictionary(d)}.{Pick("items", "keys", "values")}() {Pick("", "| list")}",
            15 => $"{Text(d)}.{Pick("split()", "split(' ')", "split(',', 1)", "rsplit(none, 1)", "split(none, 2)", "rsplit('l', 1)",
                "splitlines()",
                "splitlines(true)", "split(maxsplit=1)",
                "partition(' ')", "rpartition('o')")}",
            16 => $"({Text(d)} | list)",
            17 => $"(({List(d)} | list) * {Pick("2", "0")})",
            18 => $"({List(d)} if {Truth(d)} else {List(d)})",
            19 => $"range({Pick("3", "n", "1, 4", "5, 0, -2")}) {Pick("", "| list")}",
            _ => $"(d | {Pick("list", "items | list", "dictsort | map('first') | list")})",
        }, d);
    }

    private string NumberList(int depth) => depth > 0 && Chance(0.6)
        ? $"[{Number(depth - 1)}, {Number(depth - 1)}]"
            : Pick("items", "[1, 2, 3]", "range(4)", "[1.5, 0.5]", "(3, 1)", "[true, 2]", "users | map(attribute='age') | list");

    private string TextList(int depth) => depth > 0 && Chance(0.6)
        ? $"[{Text(depth - 1)}, {Text(depth - 1)}]"
            : Pick("words", "['b', 'A', 'c']", "csv.split(',')", "'abc'", "d.keys()", "users | map(attribute='name') | list");

    public string Dictionary(int depth)
    {
        if (depth <= 0) return Maybe(Pick("d", "o", "users[0]", "{}", "{'a': 1}", "messages[0]", "{'B': 2, 'a': 1}"), depth);
        int d = depth - 1;
        return Maybe(random.Next(5) switch
        {
            0 => $"{{'{Pick("k", "x", "é")}': {Any(d)}, {Pick("'b'", "1", "none", "true", "(1, 2)", "1.5")}: {Any(d)}}}",
            1 => $"dict(a={Any(d)}, b={Number(d)})",
            2 => $"dict(o, z={Text(d)})",
            3 => $"dict([('a', {Any(d)})])",
            _ => $"{Dictionary(d)}.copy()",
        }, d);
    }
}
