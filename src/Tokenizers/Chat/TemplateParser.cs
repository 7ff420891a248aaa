namespace Ndif.Tokenizers.Chat;

/// <summary>
/// Parses the statements of a template: if, for, set, break, continue and generation. Macros, includes and inheritance are not supported.
/// </summary>
/// <remarks>jinja2/parser.py</remarks>
internal sealed class TemplateParser
{
    private readonly List<TemplateSegment> _segments;
    private int _position, _depth;

    private TemplateParser(List<TemplateSegment> segments) => _segments = segments;

    public static TemplateBody Parse(string template) => new TemplateParser(TemplateLexer.SplitSegments(template)).ParseUntil([], out _);

    /// <summary>Parses statements up to one of the end tags, or up to the end of the template if there are none.</summary>
    /// <param name="endTags">The names of the end tags.</param>
    /// <param name="endTag">The tokens of the end tag, at its name.</param>
    private TemplateBody ParseUntil(string[] endTags, out ExpressionParser endTag)
    {
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("statements are nested too deeply");
        List<TemplateStatement> statements = [];
        int startLine = _position > 0 ? _segments[_position - 1].Line : 1;
        while (_position < _segments.Count)
        {
            TemplateSegment segment = _segments[_position++];
            try
            {
                if (segment.Kind == TemplateSegmentKind.Text)
                {
                    statements.Add(new TextNode(segment.Content) { Line = segment.Line });
                    continue;
                }
                ExpressionParser tokens = new(ExpressionLexer.Tokenize(segment.Content));
                if (segment.Kind == TemplateSegmentKind.Print)
                {
                    statements.Add(new OutputNode(tokens.ParseTuple()) { Line = segment.Line });
                    tokens.ExpectEnd();
                    continue;
                }
                if (Array.Exists(endTags, tokens.IsCurrent))
                {
                    endTag = tokens;
                    _depth--;
                    return new TemplateBody(statements);
                }
                statements.Add(ParseStatement(tokens) with { Line = segment.Line });
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {segment.Line}: {e.Message}", e);
            }
        }
        if (endTags.Length > 0) throw new ChatTemplateException($"line {startLine}: {endTags[^1]} is missing");
        endTag = new ExpressionParser(ExpressionLexer.Tokenize(""));
        _depth--;
        return new TemplateBody(statements);
    }

    private TemplateStatement ParseStatement(ExpressionParser tokens)
    {
        string name = tokens.ExpectName();
        switch (name)
        {
            case "if": return ParseIf(tokens);
            case "for": return ParseFor(tokens);
            case "set": return ParseSet(tokens);
            case "break" or "continue":
                tokens.ExpectEnd();
                return new LoopControlNode(name == "break" ? ControlFlow.Break : ControlFlow.Continue);
            case "generation": // transformers' tag for the assistant's tokens, which only training uses
                return ParseUntil(["endgeneration"], out _);
            default:
                throw new ChatTemplateException($"the statement '{name}' is not supported");
        }
    }

    private IfNode ParseIf(ExpressionParser tokens)
    {
        List<(TemplateExpression, TemplateBody)> cases = [];
        while (true)
        {
            TemplateExpression condition = tokens.ParseTuple();
            tokens.ExpectEnd();
            cases.Add((condition, ParseUntil(["elif", "else", "endif"], out tokens)));
            if (tokens.TryConsume("elif")) continue;
            if (tokens.TryConsume("endif")) return new IfNode(cases, null);
            tokens.Expect("else");
            return new IfNode(cases, ParseUntil(["endif"], out _));
        }
    }

    private ForNode ParseFor(ExpressionParser tokens)
    {
        List<string> names = ParseTargets(tokens);
        tokens.Expect("in");
        TemplateExpression items = tokens.ParseExpression(withCondition: false);
        TemplateExpression? condition = tokens.TryConsume("if") ? tokens.ParseExpression() : null;
        if (tokens.IsCurrent("recursive")) throw new ChatTemplateException("recursive loops are not supported");
        tokens.ExpectEnd();
        TemplateBody body = ParseUntil(["else", "endfor"], out tokens);
        return new ForNode(names, items, condition, body, tokens.TryConsume("else") ? ParseUntil(["endfor"], out _) : null);
    }

    private SetNode ParseSet(ExpressionParser tokens)
    {
        List<string> names = ParseTargets(tokens);
        string? field = names.Count == 1 && tokens.TryConsume(".") ? tokens.ExpectName() : null;
        if (tokens.TryConsume("="))
        {
            TemplateExpression value = tokens.ParseTuple();
            tokens.ExpectEnd();
            return new SetNode(names, field, value, null, []);
        }
        List<(string, CallArgumentList)> filters = [];
        while (tokens.TryConsume("|")) filters.Add(tokens.ParseFilter());
        tokens.ExpectEnd();
        return new SetNode(names, field, null, ParseUntil(["endset"], out _), filters);
    }

    private static List<string> ParseTargets(ExpressionParser tokens)
    {
        bool isParenthesized = tokens.TryConsume("(");
        List<string> names = [tokens.ExpectName()];
        while (tokens.TryConsume(",")) names.Add(tokens.ExpectName());
        if (isParenthesized) tokens.Expect(")");
        return names;
    }
}
