using System.Globalization;

namespace Ndif.Tokenizers.Chat;

/// <summary>Reads expressions, the loosest operator first: if-else, or, and, not, comparisons, + -, ~, * / // %, unary -, **, then what follows a value.</summary>
/// <remarks>jinja2/parser.py, whose order this is</remarks>
internal sealed class ExpressionParser(List<Symbol> words)
{
    private const int MostLinks = 1000;

    private int _at, _depth, _links;

    private Symbol Next => words[_at];

    /// <summary>A chain of operators nests as deep as it is long, and evaluating it takes as much stack.</summary>
    private T Link<T>(T expression) where T : Expression =>
        ++_links <= MostLinks ? expression : throw new ChatTemplateException($"an expression has more than {MostLinks} operators");

    public bool IsAtEnd => Next.Kind == SymbolKind.End;

    public bool Is(string text) => Next.Kind is SymbolKind.Operator or SymbolKind.Name && Next.Text == text;

    public bool Take(string text)
    {
        if (!Is(text)) return false;
        _at++;
        return true;
    }

    public void Expect(string text)
    {
        if (!Take(text)) throw new ChatTemplateException($"'{text}' is expected, not {Shown(Next)}");
    }

    public string ExpectName()
    {
        if (Next.Kind != SymbolKind.Name) throw new ChatTemplateException($"a name is expected, not {Shown(Next)}");
        return words[_at++].Text;
    }

    public void ExpectEnd()
    {
        if (!IsAtEnd) throw new ChatTemplateException($"{Shown(Next)} is not expected here");
    }

    /// <summary>An expression, or several with commas between, which are a list.</summary>
    public Expression Several()
    {
        Expression first = One();
        if (!Is(",")) return first;
        List<Expression> items = [first];
        while (Take(","))
        {
            if (IsAtEnd || Is(")")) break;
            items.Add(One());
        }
        return new ListOf(items, IsTuple: true);
    }

    public Expression One(bool withCondition = true)
    {
        if (++_depth > Budget.Depth) throw new ChatTemplateException("an expression is nested too deeply");
        Expression value = Or();
        while (withCondition && Take("if"))
        {
            Expression condition = Or();
            value = Link(new Choice(condition, value, Take("else") ? One() : null));
        }
        _depth--;
        return value;
    }

    private Expression Or()
    {
        Expression left = And();
        while (Take("or")) left = Link(new Both(false, left, And()));
        return left;
    }

    private Expression And()
    {
        Expression left = Negation();
        while (Take("and")) left = Link(new Both(true, left, Negation()));
        return left;
    }

    private Expression Negation()
    {
        if (!Take("not")) return Compare();
        if (++_depth > Budget.Depth) throw new ChatTemplateException("an expression is nested too deeply");
        Expression of = Negation();
        _depth--;
        return new Not(of);
    }

    private Expression Compare()
    {
        Expression first = Sum();
        List<(string, Expression)> rest = [];
        while (true)
        {
            if (Next.Kind == SymbolKind.Operator && Next.Text is "==" or "!=" or "<" or "<=" or ">" or ">=") rest.Add((words[_at++].Text, Sum()));
            else if (Take("in")) rest.Add(("in", Sum()));
            else if (Is("not") && words[_at + 1] is { Kind: SymbolKind.Name, Text: "in" })
            {
                _at += 2;
                rest.Add(("not in", Sum()));
            }
            else break;
        }
        return rest.Count == 0 ? first : new Comparison(first, rest);
    }

    private Expression Sum() => Chain(Joined, "+", "-");

    private Expression Joined() => Chain(Product, "~");

    private Expression Product() => Chain(Power, "*", "/", "//", "%");

    private Expression Power() => Chain(() => Unary(), "**");

    private Expression Chain(Func<Expression> part, params string[] operators)
    {
        Expression left = part();
        while (Next.Kind == SymbolKind.Operator && operators.Contains(Next.Text)) left = Link(new Arithmetic(words[_at++].Text, left, part()));
        return left;
    }

    private Expression Unary(bool withFilters = true)
    {
        if (++_depth > Budget.Depth) throw new ChatTemplateException("an expression is nested too deeply");
        Expression value = Take("-") ? new Negative(Unary(false)) : Take("+") ? Unary(false) : Followed(Primary());
        while (withFilters)
        {
            if (Take("|")) value = Link(new Filtered(value, FilterName(), Is("(") ? CallArguments() : Arguments.None));
            else if (Take("is")) value = Link(Test(value));
            else if (Is("(")) value = new Call(value, CallArguments());
            else break;
        }
        _depth--;
        return value;
    }

    /// <summary>A filter behind its |.</summary>
    public (string Name, Arguments Arguments) Filter() => (FilterName(), Is("(") ? CallArguments() : Arguments.None);

    private string FilterName()
    {
        string name = ExpectName();
        return Filters.Knows(name) ? name : throw new ChatTemplateException($"the filter '{name}' is not supported");
    }

    private Expression Test(Expression value)
    {
        bool negated = Take("not");
        string name = ExpectName();
        if (!Tests.Knows(name)) throw new ChatTemplateException($"the test '{name}' is not supported");
        Arguments arguments = Arguments.None;
        if (Is("(")) arguments = CallArguments();
        else if (Next.Kind is SymbolKind.String or SymbolKind.Integer or SymbolKind.Real || (Next.Kind == SymbolKind.Name && !(Next.Text is "else" or "or" or "and" or "is" or "if" or "not" or "in")))
            arguments = new Arguments([Followed(Primary())], []);
        Expression test = new Tested(value, name, arguments);
        return negated ? new Not(test) : test;
    }

    private Expression Followed(Expression value)
    {
        while (true)
        {
            if (Take("."))
                value = Link<Expression>(Next.Kind == SymbolKind.Integer ? new Index(value, Primary()) : new Member(value, ExpectName()));
            else if (Take("[")) value = Link(Subscript(value));
            else if (Is("(")) value = Link(new Call(value, CallArguments()));
            else return value;
        }
    }

    private Expression Subscript(Expression value)
    {
        Expression? from = Is(":") ? null : One();
        if (Take("]")) return new Index(value, from!);
        Expect(":");
        Expression? to = Is(":") || Is("]") ? null : One(), step = null;
        if (Take(":") && !Is("]")) step = One();
        Expect("]");
        return new Slice(value, from, to, step);
    }

    private Arguments CallArguments()
    {
        Expect("(");
        List<Expression> plain = [];
        List<(string, Expression)> named = [];
        while (!Take(")"))
        {
            if (Next.Kind == SymbolKind.Name && words[_at + 1] is { Kind: SymbolKind.Operator, Text: "=" })
            {
                string name = ExpectName();
                Expect("=");
                named.Add((name, One()));
            }
            else plain.Add(One());
            if (!Is(")")) Expect(",");
        }
        return new Arguments(plain, named);
    }

    private Expression Primary()
    {
        Symbol word = words[_at];
        switch (word.Kind)
        {
            case SymbolKind.Name:
                _at++;
                return word.Text switch
                {
                    "true" or "True" => new Constant(true),
                    "false" or "False" => new Constant(false),
                    "none" or "None" => new Constant(null),
                    _ => new Name(word.Text),
                };
            case SymbolKind.String:
                string text = "";
                while (Next.Kind == SymbolKind.String) text += words[_at++].Text;
                return new Constant(text);
            case SymbolKind.Integer:
                _at++;
                return new Constant(long.TryParse(word.Text, CultureInfo.InvariantCulture, out long whole) ? whole : throw new ChatTemplateException($"the number {word.Text} is too large"));
            case SymbolKind.Real:
                _at++;
                return new Constant(double.Parse(word.Text, CultureInfo.InvariantCulture));
            case SymbolKind.Operator when Take("("):
                if (Take(")")) return new ListOf([], IsTuple: true);
                Expression inner = Several();
                Expect(")");
                return inner;
            case SymbolKind.Operator when Take("["):
                return new ListOf(Items("]"));
            case SymbolKind.Operator when Take("{"):
                List<(Expression, Expression)> entries = [];
                while (!Take("}"))
                {
                    Expression key = One();
                    Expect(":");
                    entries.Add((key, One()));
                    if (!Is("}")) Expect(",");
                }
                return new MapOf(entries);
            default:
                throw new ChatTemplateException($"a value is expected, not {Shown(word)}");
        }
    }

    private List<Expression> Items(string end)
    {
        List<Expression> items = [];
        while (!Take(end))
        {
            items.Add(One());
            if (!Is(end)) Expect(",");
        }
        return items;
    }

    private static string Shown(Symbol word) => word.Kind == SymbolKind.End ? word.Text : $"'{word.Text}'";
}
