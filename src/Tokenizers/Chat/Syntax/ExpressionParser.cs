using System.Globalization;
using System.Numerics;

namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>
/// Parses expressions by recursive descent, from the operator of the lowest precedence to the highest: if-else, or, and, not,
/// comparisons, + and -, ~, * / // and %, **, unary + and -, and the postfix operators: attribute, subscript, call, filter and test.
/// </summary>
/// <remarks>jinja2/parser.py, which has the same precedence</remarks>
internal sealed class ExpressionParser(TokenCursor tokens)
{
    private const int MaxOperators = 1000;

    private readonly CallParser _calls = new(tokens);
    private int _depth, _operatorCount;

    /// <summary>Begins a tag: the limit on operators is that of one tag.</summary>
    public void BeginTag() => _operatorCount = 0;

    /// <summary>
    /// The number of conditions around the expression. An unknown filter is an error when the template is parsed, but inside of a condition
    /// it is an error when it is used, as in <c>{% if "x" is filter %}{{ a | x }}{% endif %}</c>.
    /// </summary>
    public int ConditionDepth { get; set; }

    /// <summary>Parses an expression, or a tuple: several expressions separated by commas.</summary>
    /// <param name="withCondition">False if a following "if" does not belong to the expression, as in a for statement.</param>
    /// <param name="isParenthesized">True if an empty tuple is allowed.</param>
    public TemplateExpression ParseTuple(bool withCondition = true, bool isParenthesized = false)
    {
        List<TemplateExpression> items = [];
        bool isTuple = false;
        while (!IsTupleEnd)
        {
            items.Add(ParseExpression(withCondition));
            if (!tokens.TryConsumeOperator(",")) break;
            isTuple = true;
        }
        if (isTuple || (items.Count == 0 && isParenthesized)) return new TupleExpression(items);
        return items.Count == 1 ? items[0] : throw tokens.CreateException($"a value is expected, not {tokens.Current.Description}");
    }

    private bool IsTupleEnd =>
        tokens.Current.Kind is TemplateTokenKind.PrintEnd or TemplateTokenKind.BlockEnd || tokens.IsOperator(")");

    public TemplateExpression ParseExpression(bool withCondition = true)
    {
        EnterNesting();
        TemplateExpression value = ParseOr();
        while (withCondition && tokens.TryConsumeName("if"))
        {
            ConditionDepth++;
            TemplateExpression condition = ParseOr();
            value = CountOperator(new ConditionalExpression(condition, value, tokens.TryConsumeName("else") ? ParseExpression() : null));
            ConditionDepth--;
        }
        _depth--;
        return value;
    }

    private TemplateExpression ParseOr()
    {
        TemplateExpression left = ParseAnd();
        while (tokens.TryConsumeName("or")) left = CountOperator(new LogicalExpression(false, left, ParseAnd()));
        return left;
    }

    private TemplateExpression ParseAnd()
    {
        TemplateExpression left = ParseNot();
        while (tokens.TryConsumeName("and")) left = CountOperator(new LogicalExpression(true, left, ParseNot()));
        return left;
    }

    private TemplateExpression ParseNot()
    {
        if (!tokens.TryConsumeName("not")) return ParseCompare();
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
            if (tokens.Current is { Kind: TemplateTokenKind.Operator, Text: "==" or "!=" or "<" or "<=" or ">" or ">=" })
                rest.Add((tokens.Consume().Text, ParseSum()));
            else if (tokens.TryConsumeName("in"))
                rest.Add(("in", ParseSum()));
            else if (tokens.IsName("not") && tokens.Next.IsName("in"))
            {
                tokens.Consume();
                tokens.Consume();
                rest.Add(("not in", ParseSum()));
            }
            else break;
        }
        return rest.Count == 0 ? first : new CompareExpression(first, rest);
    }

    private TemplateExpression ParseSum() => ParseBinary(ParseConcat, "+", "-");

    private TemplateExpression ParseConcat()
    {
        TemplateExpression first = ParseProduct();
        if (!tokens.IsOperator("~")) return first;
        List<TemplateExpression> items = [first];
        while (tokens.TryConsumeOperator("~")) items.Add(ParseProduct());
        return CountOperator(new ConcatExpression(items));
    }

    private TemplateExpression ParseProduct() => ParseBinary(ParsePower, "*", "/", "//", "%");

    private TemplateExpression ParsePower() => ParseBinary(() => ParseUnary(), "**");

    private TemplateExpression ParseBinary(Func<TemplateExpression> parseOperand, params string[] operators)
    {
        TemplateExpression left = parseOperand();
        while (tokens.Current.Kind == TemplateTokenKind.Operator && operators.Contains(tokens.Current.Text))
            left = CountOperator(new ArithmeticExpression(tokens.Consume().Text, left, parseOperand()));
        return left;
    }

    private TemplateExpression ParseUnary(bool withFilters = true)
    {
        EnterNesting();
        TemplateExpression value = tokens.Current switch
        {
            { Kind: TemplateTokenKind.Operator, Text: "-" or "+" } => new SignExpression(tokens.Consume().Text == "-", ParseUnary(false)),
            _ => ParsePrimary(),
        };
        value = ParsePostfix(value);
        while (withFilters)
        {
            if (tokens.IsOperator("|")) value = ParseFilters(value);
            else if (tokens.TryConsumeName("is")) value = CountOperator(ParseTest(value));
            else if (tokens.IsOperator("(")) value = CountOperator(new CallExpression(value, _calls.Parse(this)));
            else break;
        }
        _depth--;
        return value;
    }

    /// <summary>Parses filters as long as there is a |. The input is null for the filters of a block.</summary>
    /// <param name="input">The value or filter before the |.</param>
    /// <param name="startsInline">True if the first filter has no |, as in <c>{% filter upper %}</c>.</param>
    public TemplateExpression ParseFilters(TemplateExpression input, bool startsInline = false)
    {
        while (startsInline || tokens.TryConsumeOperator("|"))
        {
            startsInline = false;
            string name = ParseDottedName();
            if (!TemplateFilters.Contains(name) && (ConditionDepth == 0 || TemplateFilters.IsRefused(name)))
                throw tokens.CreateException(TemplateFilters.DescribeMissing(name));
            input = CountOperator(new FilterExpression(input, name, tokens.IsOperator("(") ? _calls.Parse(this) : CallArguments.None));
        }
        return input;
    }

    private TemplateExpression ParseTest(TemplateExpression value)
    {
        bool isNegated = tokens.TryConsumeName("not");
        string name = ParseDottedName();
        if (!TemplateTestFunctions.Contains(name) && ConditionDepth == 0)
            throw tokens.CreateException($"the test '{name}' is not supported");
        CallArguments arguments = CallArguments.None;
        if (tokens.IsOperator("(")) arguments = _calls.Parse(this);
        else if (StartsTestArgument(tokens.Current))
        {
            if (tokens.IsName("is")) throw tokens.CreateException("a test cannot follow a test");
            arguments = new CallArguments([ParsePostfix(ParsePrimary())], [], null, null);
        }
        TemplateExpression test = new TestExpression(value, name, arguments);
        return isNegated ? new NotExpression(test) : test;
    }

    private string ParseDottedName()
    {
        string name = tokens.ExpectName();
        while (tokens.TryConsumeOperator(".")) name += "." + tokens.ExpectName();
        return name;
    }

    /// <summary>Returns true if a token starts the argument of a test without parentheses, as in <c>x is divisibleby 3</c>.</summary>
    private static bool StartsTestArgument(TemplateToken token) => token.Kind switch
    {
        TemplateTokenKind.String or TemplateTokenKind.Integer or TemplateTokenKind.Real => true,
        TemplateTokenKind.Name => token.Text is not ("else" or "or" or "and"),
        TemplateTokenKind.Operator => token.Text is "[" or "{",
        _ => false,
    };

    private TemplateExpression ParsePostfix(TemplateExpression value)
    {
        while (true)
        {
            if (tokens.TryConsumeOperator(".")) value = CountOperator(ParseAttribute(value));
            else if (tokens.TryConsumeOperator("[")) value = CountOperator(ParseSubscript(value));
            else if (tokens.IsOperator("(")) value = CountOperator(new CallExpression(value, _calls.Parse(this)));
            else return value;
        }
    }

    private TemplateExpression ParseAttribute(TemplateExpression value) => tokens.Current.Kind switch
    {
        TemplateTokenKind.Integer => new SubscriptExpression(value, ParsePrimary()),
        TemplateTokenKind.Name => new AttributeExpression(value, tokens.Consume().Text),
        _ => throw tokens.CreateException($"a name or number is expected, not {tokens.Current.Description}"),
    };

    private TemplateExpression ParseSubscript(TemplateExpression value)
    {
        List<TemplateExpression> keys = [];
        while (!tokens.TryConsumeOperator("]"))
        {
            if (keys.Count > 0) tokens.ExpectOperator(",");
            keys.Add(ParseSubscribed(value));
        }
        return keys switch
        {
            [SliceExpression slice] => slice,
            [TemplateExpression key] => new SubscriptExpression(value, key),
            _ when keys.Exists(key => key is SliceExpression) =>
                throw tokens.CreateException("a subscript with several slices is not supported"),
            _ => new SubscriptExpression(value, new TupleExpression(keys)),
        };
    }

    private TemplateExpression ParseSubscribed(TemplateExpression value)
    {
        TemplateExpression? start = tokens.IsOperator(":") ? null : ParseExpression();
        if (!tokens.TryConsumeOperator(":")) return start!;
        TemplateExpression? stop = tokens.IsOperator(":") || EndsSlice() ? null : ParseExpression();
        TemplateExpression? step = tokens.TryConsumeOperator(":") && !EndsSlice() ? ParseExpression() : null;
        return new SliceExpression(value, start, stop, step);

        bool EndsSlice() => tokens.IsOperator("]") || tokens.IsOperator(",");
    }

    private TemplateExpression ParsePrimary()
    {
        TemplateToken token = tokens.Consume();
        switch (token.Kind)
        {
            case TemplateTokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new ConstantExpression(true),
                    "false" or "False" => new ConstantExpression(false),
                    "none" or "None" => new ConstantExpression(null),
                    _ => new NameExpression(token.Text, token.Line),
                };
            case TemplateTokenKind.String: // adjacent strings are concatenated
                string text = token.Text;
                while (tokens.Current.Kind == TemplateTokenKind.String) text += tokens.Consume().Text;
                return new ConstantExpression(text);
            case TemplateTokenKind.Integer:
                return new ConstantExpression(TemplateNumbers.ParseLiteral(token.Text));
            case TemplateTokenKind.Real:
                return new ConstantExpression(double.Parse(token.Text, CultureInfo.InvariantCulture));
            case TemplateTokenKind.Operator when token.Text == "(":
                TemplateExpression inner = ParseTuple(isParenthesized: true);
                tokens.ExpectOperator(")");
                return inner;
            case TemplateTokenKind.Operator when token.Text == "[":
                return new ListExpression(ParseItems("]", () => ParseExpression()));
            case TemplateTokenKind.Operator when token.Text == "{":
                return new DictionaryExpression(ParseItems("}", ParseEntry));
            default:
                throw new ChatTemplateException($"line {token.Line}: a value is expected, not {token.Description}");
        }
    }

    private List<T> ParseItems<T>(string end, Func<T> parseItem)
    {
        List<T> items = [];
        while (!tokens.TryConsumeOperator(end))
        {
            items.Add(parseItem());
            if (!tokens.IsOperator(end)) tokens.ExpectOperator(",");
        }
        return items;
    }

    private (TemplateExpression, TemplateExpression) ParseEntry()
    {
        TemplateExpression key = ParseExpression();
        tokens.ExpectOperator(":");
        return (key, ParseExpression());
    }

    /// <summary>Limits the nesting of expressions, so that parsing and evaluating them cannot overflow the stack.</summary>
    private void EnterNesting()
    {
        if (++_depth > RenderBudget.MaxDepth) throw tokens.CreateException("an expression is nested too deeply");
    }

    /// <summary>
    /// Limits the number of operators. A chain of n operators is a tree of depth n, and evaluating it needs as much stack.
    /// </summary>
    private TemplateExpression CountOperator(TemplateExpression expression) => ++_operatorCount <= MaxOperators ? expression
        : throw tokens.CreateException($"an expression has more than {MaxOperators} operators");
}
