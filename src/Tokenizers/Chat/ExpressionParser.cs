using System.Globalization;

namespace Ndif.Tokenizers.Chat;

/// <summary>Reads expressions, the loosest operator first: if-else, or, and, not, comparisons, + -, ~, * / // %, unary -, **, then what follows a value.</summary>
/// <remarks>jinja2/parser.py, whose order this is</remarks>
internal sealed class ExpressionParser(List<ExpressionToken> tokens)
{
    private const int MaxOperators = 1000;

    private int _at, _depth, _operatorCount;

    private ExpressionToken Next => tokens[_at];

    /// <summary>A chain of operators nests as deep as it is long, and evaluating it takes as much stack.</summary>
    private T CountOperator<T>(T expression) where T : TemplateExpression =>
        ++_operatorCount <= MaxOperators ? expression : throw new ChatTemplateException($"an expression has more than {MaxOperators} operators");

    public bool IsAtEnd => Next.Kind == ExpressionTokenKind.End;

    public bool Is(string text) => Next.Kind is ExpressionTokenKind.Operator or ExpressionTokenKind.Name && Next.Text == text;

    public bool TryTake(string text)
    {
        if (!Is(text)) return false;
        _at++;
        return true;
    }

    public void Expect(string text)
    {
        if (!TryTake(text)) throw new ChatTemplateException($"'{text}' is expected, not {Describe(Next)}");
    }

    public string ExpectName()
    {
        if (Next.Kind != ExpressionTokenKind.Name) throw new ChatTemplateException($"a name is expected, not {Describe(Next)}");
        return tokens[_at++].Text;
    }

    public void ExpectEnd()
    {
        if (!IsAtEnd) throw new ChatTemplateException($"{Describe(Next)} is not expected here");
    }

    /// <summary>An expression, or several with commas between, which are a list.</summary>
    public TemplateExpression ParseTuple()
    {
        TemplateExpression first = ParseExpression();
        if (!Is(",")) return first;
        List<TemplateExpression> items = [first];
        while (TryTake(","))
        {
            if (IsAtEnd || Is(")")) break;
            items.Add(ParseExpression());
        }
        return new ListExpression(items, IsTuple: true);
    }

    public TemplateExpression ParseExpression(bool withCondition = true)
    {
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("an expression is nested too deeply");
        TemplateExpression value = ParseOr();
        while (withCondition && TryTake("if"))
        {
            TemplateExpression condition = ParseOr();
            value = CountOperator(new ConditionalExpression(condition, value, TryTake("else") ? ParseExpression() : null));
        }
        _depth--;
        return value;
    }

    private TemplateExpression ParseOr()
    {
        TemplateExpression left = ParseAnd();
        while (TryTake("or")) left = CountOperator(new LogicalExpression(false, left, ParseAnd()));
        return left;
    }

    private TemplateExpression ParseAnd()
    {
        TemplateExpression left = ParseNot();
        while (TryTake("and")) left = CountOperator(new LogicalExpression(true, left, ParseNot()));
        return left;
    }

    private TemplateExpression ParseNot()
    {
        if (!TryTake("not")) return ParseCompare();
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("an expression is nested too deeply");
        TemplateExpression of = ParseNot();
        _depth--;
        return new NotExpression(of);
    }

    private TemplateExpression ParseCompare()
    {
        TemplateExpression first = ParseSum();
        List<(string, TemplateExpression)> rest = [];
        while (true)
        {
            if (Next.Kind == ExpressionTokenKind.Operator && Next.Text is "==" or "!=" or "<" or "<=" or ">" or ">=") rest.Add((tokens[_at++].Text, ParseSum()));
            else if (TryTake("in")) rest.Add(("in", ParseSum()));
            else if (Is("not") && tokens[_at + 1] is { Kind: ExpressionTokenKind.Name, Text: "in" })
            {
                _at += 2;
                rest.Add(("not in", ParseSum()));
            }
            else break;
        }
        return rest.Count == 0 ? first : new CompareExpression(first, rest);
    }

    private TemplateExpression ParseSum() => ParseBinary(ParseConcat, "+", "-");

    private TemplateExpression ParseConcat() => ParseBinary(ParseProduct, "~");

    private TemplateExpression ParseProduct() => ParseBinary(ParsePower, "*", "/", "//", "%");

    private TemplateExpression ParsePower() => ParseBinary(() => ParseUnary(), "**");

    private TemplateExpression ParseBinary(Func<TemplateExpression> parseOperand, params string[] operators)
    {
        TemplateExpression left = parseOperand();
        while (Next.Kind == ExpressionTokenKind.Operator && operators.Contains(Next.Text)) left = CountOperator(new ArithmeticExpression(tokens[_at++].Text, left, parseOperand()));
        return left;
    }

    private TemplateExpression ParseUnary(bool withFilters = true)
    {
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("an expression is nested too deeply");
        TemplateExpression value = TryTake("-") ? new NegateExpression(ParseUnary(false)) : TryTake("+") ? ParseUnary(false) : ParsePostfix(ParsePrimary());
        while (withFilters)
        {
            if (TryTake("|")) value = CountOperator(new FilterExpression(value, ParseFilterName(), Is("(") ? ParseCallArguments() : CallArgumentList.None));
            else if (TryTake("is")) value = CountOperator(ParseTest(value));
            else if (Is("(")) value = new CallExpression(value, ParseCallArguments());
            else break;
        }
        _depth--;
        return value;
    }

    /// <summary>A filter behind its |.</summary>
    public (string Name, CallArgumentList Arguments) ParseFilter() => (ParseFilterName(), Is("(") ? ParseCallArguments() : CallArgumentList.None);

    private string ParseFilterName()
    {
        string name = ExpectName();
        return TemplateFilters.Contains(name) ? name : throw new ChatTemplateException($"the filter '{name}' is not supported");
    }

    private TemplateExpression ParseTest(TemplateExpression value)
    {
        bool negated = TryTake("not");
        string name = ExpectName();
        if (!TemplateTestFunctions.Contains(name)) throw new ChatTemplateException($"the test '{name}' is not supported");
        CallArgumentList arguments = CallArgumentList.None;
        if (Is("(")) arguments = ParseCallArguments();
        else if (Next.Kind is ExpressionTokenKind.String or ExpressionTokenKind.Integer or ExpressionTokenKind.Real || (Next.Kind == ExpressionTokenKind.Name && !(Next.Text is "else" or "or" or "and" or "is" or "if" or "not" or "in")))
            arguments = new CallArgumentList([ParsePostfix(ParsePrimary())], []);
        TemplateExpression test = new TestExpression(value, name, arguments);
        return negated ? new NotExpression(test) : test;
    }

    private TemplateExpression ParsePostfix(TemplateExpression value)
    {
        while (true)
        {
            if (TryTake("."))
                value = CountOperator<TemplateExpression>(Next.Kind == ExpressionTokenKind.Integer ? new SubscriptExpression(value, ParsePrimary()) : new AttributeExpression(value, ExpectName()));
            else if (TryTake("[")) value = CountOperator(ParseSubscript(value));
            else if (Is("(")) value = CountOperator(new CallExpression(value, ParseCallArguments()));
            else return value;
        }
    }

    private TemplateExpression ParseSubscript(TemplateExpression value)
    {
        TemplateExpression? from = Is(":") ? null : ParseExpression();
        if (TryTake("]")) return new SubscriptExpression(value, from!);
        Expect(":");
        TemplateExpression? to = Is(":") || Is("]") ? null : ParseExpression(), step = null;
        if (TryTake(":") && !Is("]")) step = ParseExpression();
        Expect("]");
        return new SliceExpression(value, from, to, step);
    }

    private CallArgumentList ParseCallArguments()
    {
        Expect("(");
        List<TemplateExpression> plain = [];
        List<(string, TemplateExpression)> named = [];
        while (!TryTake(")"))
        {
            if (Next.Kind == ExpressionTokenKind.Name && tokens[_at + 1] is { Kind: ExpressionTokenKind.Operator, Text: "=" })
            {
                string name = ExpectName();
                Expect("=");
                named.Add((name, ParseExpression()));
            }
            else plain.Add(ParseExpression());
            if (!Is(")")) Expect(",");
        }
        return new CallArgumentList(plain, named);
    }

    private TemplateExpression ParsePrimary()
    {
        ExpressionToken word = tokens[_at];
        switch (word.Kind)
        {
            case ExpressionTokenKind.Name:
                _at++;
                return word.Text switch
                {
                    "true" or "True" => new ConstantExpression(true),
                    "false" or "False" => new ConstantExpression(false),
                    "none" or "None" => new ConstantExpression(null),
                    _ => new NameExpression(word.Text),
                };
            case ExpressionTokenKind.String:
                string text = "";
                while (Next.Kind == ExpressionTokenKind.String) text += tokens[_at++].Text;
                return new ConstantExpression(text);
            case ExpressionTokenKind.Integer:
                _at++;
                return new ConstantExpression(long.TryParse(word.Text, CultureInfo.InvariantCulture, out long whole) ? whole : throw new ChatTemplateException($"the number {word.Text} is too large"));
            case ExpressionTokenKind.Real:
                _at++;
                return new ConstantExpression(double.Parse(word.Text, CultureInfo.InvariantCulture));
            case ExpressionTokenKind.Operator when TryTake("("):
                if (TryTake(")")) return new ListExpression([], IsTuple: true);
                TemplateExpression inner = ParseTuple();
                Expect(")");
                return inner;
            case ExpressionTokenKind.Operator when TryTake("["):
                return new ListExpression(ParseItems("]"));
            case ExpressionTokenKind.Operator when TryTake("{"):
                List<(TemplateExpression, TemplateExpression)> entries = [];
                while (!TryTake("}"))
                {
                    TemplateExpression key = ParseExpression();
                    Expect(":");
                    entries.Add((key, ParseExpression()));
                    if (!Is("}")) Expect(",");
                }
                return new DictionaryExpression(entries);
            default:
                throw new ChatTemplateException($"a value is expected, not {Describe(word)}");
        }
    }

    private List<TemplateExpression> ParseItems(string end)
    {
        List<TemplateExpression> items = [];
        while (!TryTake(end))
        {
            items.Add(ParseExpression());
            if (!Is(end)) Expect(",");
        }
        return items;
    }

    private static string Describe(ExpressionToken token) => token.Kind == ExpressionTokenKind.End ? token.Text : $"'{token.Text}'";
}
