namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>Parses the arguments of a call: <c>(a, b, name=c, *list, **dictionary)</c>.</summary>
/// <remarks>jinja2/parser.py, parse_call_args</remarks>
internal sealed class CallParser(TokenCursor tokens)
{
    public CallArguments Parse(ExpressionParser expressions)
    {
        tokens.ExpectOperator("(");
        List<TemplateExpression> positional = [];
        List<(string Name, TemplateExpression Value)> keywords = [];
        TemplateExpression? list = null, dictionary = null;
        while (!tokens.TryConsumeOperator(")"))
        {
            if (tokens.TryConsumeOperator("*"))
            {
                Require(list is null && dictionary is null);
                list = expressions.ParseExpression();
            }
            else if (tokens.TryConsumeOperator("**"))
            {
                Require(dictionary is null);
                dictionary = expressions.ParseExpression();
            }
            else if (tokens.Current.Kind == TemplateTokenKind.Name && tokens.Next.IsOperator("="))
            {
                Require(dictionary is null);
                string name = tokens.ExpectName();
                tokens.ExpectOperator("=");
                if (keywords.Exists(keyword => keyword.Name == name)) throw tokens.CreateException($"the argument '{name}' is given twice");
                keywords.Add((name, expressions.ParseExpression()));
            }
            else
            {
                Require(list is null && dictionary is null && keywords.Count == 0);
                positional.Add(expressions.ParseExpression());
            }
            if (!tokens.IsOperator(")")) tokens.ExpectOperator(",");
        }
        return new CallArguments(positional, keywords, list, dictionary);
    }

    private void Require(bool isInOrder)
    {
        if (!isInOrder) throw tokens.CreateException("the arguments of a call are not in order: a, b, name=c, *list, **dictionary");
    }
}
