using System.Globalization;

namespace Ndif.Tokenizers.Chat;

/// <summary>
/// Parses expressions by recursive descent, from the operator of the lowest precedence to the highest: if-else, or, and, not,
/// comparisons, + and -, ~, * / // and %, **, unary + and -, and the postfix operators: attribute, subscript and call.
/// </summary>
/// <remarks>jinja2/parser.py, which has the same precedence</remarks>
internal sealed class ExpressionParser(List<ExpressionToken> tokens)
{
    private const int MaxOperators = 1000;

    private int _position, _depth, _operatorCount;

    private ExpressionToken Current => tokens[_position];

    public bool IsAtEnd => Current.Kind == ExpressionTokenKind.End;

    public bool IsCurrent(string text) =>
        Current.Kind is ExpressionTokenKind.Operator or ExpressionTokenKind.Name && Current.Text == text;

    public bool TryConsume(string text)
    {
        if (!IsCurrent(text)) return false;
        _position++;
        return true;
    }

    public void Expect(string text)
    {
        if (!TryConsume(text)) throw new ChatTemplateException($"'{text}' is expected, not {Describe(Current)}");
    }

    public string ExpectName()
    {
        if (Current.Kind != ExpressionTokenKind.Name) throw new ChatTemplateException($"a name is expected, not {Describe(Current)}");
        return tokens[_position++].Text;
    }

    public void ExpectEnd()
    {
        if (!IsAtEnd) throw new ChatTemplateException($"{Describe(Current)} is not expected here");
    }

    /// <summary>Parses an expression, or a tuple: several expressions separated by commas.</summary>
    public TemplateExpression ParseTuple()
    {
        TemplateExpression first = ParseExpression();
        if (!IsCurrent(",")) return first;
        List<TemplateExpression> items = [first];
        while (TryConsume(","))
        {
            if (IsAtEnd || IsCurrent(")")) break;
            items.Add(ParseExpression());
        }
        return new ListExpression(items, IsTuple: true);
    }

    /// <param name="withCondition">False if a following "if" does not belong to the expression, as in a for statement.</param>
    public TemplateExpression ParseExpression(bool withCondition = true)
    {
        EnterNesting();
        TemplateExpression value = ParseOr();
        while (withCondition && TryConsume("if"))
        {
            TemplateExpression condition = ParseOr();
            value = CountOperator(new ConditionalExpression(condition, value, TryConsume("else") ? ParseExpression() : null));
        }
        _depth--;
        return value;
    }

    private TemplateExpression ParseOr()
    {
        TemplateExpression left = ParseAnd();
        while (TryConsume("or")) left = CountOperator(new LogicalExpression(false, left, ParseAnd()));
        return left;
    }

    private TemplateExpression ParseAnd()
    {
        TemplateExpression left = ParseNot();
        while (TryConsume("and")) left = CountOperator(new LogicalExpression(true, left, ParseNot()));
        return left;
    }

    private TemplateExpression ParseNot()
    {
        if (!TryConsume("not")) return ParseCompare();
        EnterNesting();
        TemplateExpression operand = ParseNot();
        _depth--;
        return new NotExpression(operand);
    }

    private TemplateExpression ParseCompare()
    {
        TemplateExpression first = ParseSum();
        List<(string, TemplateExpression)> rest = [];
        while (true)
        {
            if (Current.Kind == ExpressionTokenKind.Operator && Current.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
                rest.Add((tokens[_position++].Text, ParseSum()));
            else if (TryConsume("in"))
                rest.Add(("in", ParseSum()));
            else if (IsCurrent("not") && tokens[_position + 1] is { Kind: ExpressionTokenKind.Name, Text: "in" })
            {
                _position += 2;
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
        while (Current.Kind == ExpressionTokenKind.Operator && operators.Contains(Current.Text))
            left = CountOperator(new ArithmeticExpression(tokens[_position++].Text, left, parseOperand()));
        return left;
    }

    private TemplateExpression ParseUnary(bool withFilters = true)
    {
        EnterNesting();
        TemplateExpression value = TryConsume("-") ? new NegateExpression(ParseUnary(false))
            : TryConsume("+") ? ParseUnary(false)
            : ParsePostfix(ParsePrimary());
        while (withFilters)
        {
            if (TryConsume("|"))
            {
                var (name, arguments) = ParseFilter();
                value = CountOperator(new FilterExpression(value, name, arguments));
            }
            else if (TryConsume("is")) value = CountOperator(ParseTest(value));
            else if (IsCurrent("(")) value = new CallExpression(value, ParseCallArguments());
            else break;
        }
        _depth--;
        return value;
    }

    /// <summary>Parses a filter after its |.</summary>
    public (string Name, CallArgumentList Arguments) ParseFilter()
    {
        string name = ExpectName();
        if (!TemplateFilters.Contains(name)) throw new ChatTemplateException($"the filter '{name}' is not supported");
        return (name, IsCurrent("(") ? ParseCallArguments() : CallArgumentList.None);
    }

    private TemplateExpression ParseTest(TemplateExpression value)
    {
        bool isNegated = TryConsume("not");
        string name = ExpectName();
        if (!TemplateTestFunctions.Contains(name)) throw new ChatTemplateException($"the test '{name}' is not supported");
        CallArgumentList arguments = IsCurrent("(") ? ParseCallArguments()
            : StartsTestArgument(Current) ? new CallArgumentList([ParsePostfix(ParsePrimary())], [])
            : CallArgumentList.None;
        TemplateExpression test = new TestExpression(value, name, arguments);
        return isNegated ? new NotExpression(test) : test;
    }

    /// <summary>Returns true if a token starts the argument of a test without parentheses, as in <c>x is divisibleby 3</c>.</summary>
    private static bool StartsTestArgument(ExpressionToken token) => token.Kind switch
    {
        ExpressionTokenKind.String or ExpressionTokenKind.Integer or ExpressionTokenKind.Real => true,
        ExpressionTokenKind.Name => token.Text is not ("else" or "or" or "and" or "is" or "if" or "not" or "in"),
        _ => false,
    };

    private TemplateExpression ParsePostfix(TemplateExpression value)
    {
        while (true)
        {
            if (TryConsume("."))
            {
                value = CountOperator<TemplateExpression>(Current.Kind == ExpressionTokenKind.Integer
                    ? new SubscriptExpression(value, ParsePrimary()) : new AttributeExpression(value, ExpectName()));
            }
            else if (TryConsume("[")) value = CountOperator(ParseSubscript(value));
            else if (IsCurrent("(")) value = CountOperator(new CallExpression(value, ParseCallArguments()));
            else return value;
        }
    }

    private TemplateExpression ParseSubscript(TemplateExpression value)
    {
        TemplateExpression? start = IsCurrent(":") ? null : ParseExpression();
        if (TryConsume("]")) return new SubscriptExpression(value, start!);
        Expect(":");
        TemplateExpression? stop = IsCurrent(":") || IsCurrent("]") ? null : ParseExpression(), step = null;
        if (TryConsume(":") && !IsCurrent("]")) step = ParseExpression();
        Expect("]");
        return new SliceExpression(value, start, stop, step);
    }

    private CallArgumentList ParseCallArguments()
    {
        Expect("(");
        List<TemplateExpression> positional = [];
        List<(string, TemplateExpression)> keywords = [];
        while (!TryConsume(")"))
        {
            if (Current.Kind == ExpressionTokenKind.Name
                && tokens[_position + 1] is { Kind: ExpressionTokenKind.Operator, Text: "=" })
            {
                string name = ExpectName();
                Expect("=");
                keywords.Add((name, ParseExpression()));
            }
            else positional.Add(ParseExpression());
            if (!IsCurrent(")")) Expect(",");
        }
        return new CallArgumentList(positional, keywords);
    }

    private TemplateExpression ParsePrimary()
    {
        ExpressionToken token = Current;
        switch (token.Kind)
        {
            case ExpressionTokenKind.Name:
                _position++;
                return token.Text switch
                {
                    "true" or "True" => new ConstantExpression(true),
                    "false" or "False" => new ConstantExpression(false),
                    "none" or "None" => new ConstantExpression(null),
                    _ => new NameExpression(token.Text),
                };
            case ExpressionTokenKind.String: // adjacent strings are concatenated
                string text = "";
                while (Current.Kind == ExpressionTokenKind.String) text += tokens[_position++].Text;
                return new ConstantExpression(text);
            case ExpressionTokenKind.Integer:
                _position++;
                return new ConstantExpression(long.TryParse(token.Text, CultureInfo.InvariantCulture, out long integer) ? integer
                    : throw new ChatTemplateException($"the number {token.Text} is too large"));
            case ExpressionTokenKind.Real:
                _position++;
                return new ConstantExpression(double.Parse(token.Text, CultureInfo.InvariantCulture));
            case ExpressionTokenKind.Operator when TryConsume("("):
                if (TryConsume(")")) return new ListExpression([], IsTuple: true);
                TemplateExpression inner = ParseTuple();
                Expect(")");
                return inner;
            case ExpressionTokenKind.Operator when TryConsume("["):
                return new ListExpression(ParseListItems());
            case ExpressionTokenKind.Operator when TryConsume("{"):
                return new DictionaryExpression(ParseDictionaryEntries());
            default:
                throw new ChatTemplateException($"a value is expected, not {Describe(token)}");
        }
    }

    private List<TemplateExpression> ParseListItems()
    {
        List<TemplateExpression> items = [];
        while (!TryConsume("]"))
        {
            items.Add(ParseExpression());
            if (!IsCurrent("]")) Expect(",");
        }
        return items;
    }

    private List<(TemplateExpression, TemplateExpression)> ParseDictionaryEntries()
    {
        List<(TemplateExpression, TemplateExpression)> entries = [];
        while (!TryConsume("}"))
        {
            TemplateExpression key = ParseExpression();
            Expect(":");
            entries.Add((key, ParseExpression()));
            if (!IsCurrent("}")) Expect(",");
        }
        return entries;
    }

    /// <summary>Limits the nesting of expressions, so that parsing and evaluating them cannot overflow the stack.</summary>
    private void EnterNesting()
    {
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("an expression is nested too deeply");
    }

    /// <summary>
    /// Limits the number of operators. A chain of n operators is a tree of depth n, and evaluating it needs as much stack.
    /// </summary>
    private T CountOperator<T>(T expression) where T : TemplateExpression =>
        ++_operatorCount <= MaxOperators ? expression
            : throw new ChatTemplateException($"an expression has more than {MaxOperators} operators");

    private static string Describe(ExpressionToken token) => token.Kind == ExpressionTokenKind.End ? token.Text : $"'{token.Text}'";
}
