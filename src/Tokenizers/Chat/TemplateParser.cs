namespace Ndif.Tokenizers.Chat;

/// <summary>Reads a template's statements: if, for, set, break, continue, generation, raw (in <see cref="TemplateLexer"/>). No macros, no includes.</summary>
internal sealed class TemplateParser
{
    private readonly List<TemplateSegment> _segments;
    private int _at, _depth;

    private TemplateParser(List<TemplateSegment> segments) => _segments = segments;

    public static TemplateBody Parse(string template)
    {
        TemplateParser parser = new(TemplateLexer.SplitSegments(template));
        TemplateBody body = parser.ParseUntil([], out _);
        return body;
    }

    /// <summary>Statements up to one of these words, which is taken; without any, up to the end.</summary>
    private TemplateBody ParseUntil(string[] ends, out ExpressionParser end)
    {
        if (++_depth > RenderBudget.MaxDepth) throw new ChatTemplateException("statements are nested too deeply");
        List<TemplateStatement> statements = [];
        int opened = _at > 0 ? _segments[_at - 1].Line : 1;
        for (; _at < _segments.Count;)
        {
            TemplateSegment piece = _segments[_at++];
            try
            {
                if (piece.Kind == TemplateSegmentKind.Text)
                {
                    statements.Add(new TextNode(piece.Content) { Line = piece.Line });
                    continue;
                }
                ExpressionParser words = new(TemplateLexer.TokenizeExpression(piece.Content));
                if (piece.Kind == TemplateSegmentKind.Print)
                {
                    statements.Add(new OutputNode(words.ParseTuple()) { Line = piece.Line });
                    words.ExpectEnd();
                    continue;
                }
                if (Array.Exists(ends, words.Is))
                {
                    end = words;
                    _depth--;
                    return new TemplateBody(statements);
                }
                statements.Add(ParseStatement(words) with { Line = piece.Line });
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {piece.Line}: {e.Message}", e);
            }
        }
        if (ends.Length > 0) throw new ChatTemplateException($"line {opened}: {ends[^1]} is missing");
        end = new ExpressionParser(TemplateLexer.TokenizeExpression(""));
        _depth--;
        return new TemplateBody(statements);
    }

    private TemplateStatement ParseStatement(ExpressionParser tokens)
    {
        string word = tokens.ExpectName();
        switch (word)
        {
            case "if": return ParseIf(tokens);
            case "for": return ParseFor(tokens);
            case "set": return ParseSet(tokens);
            case "break" or "continue":
                tokens.ExpectEnd();
                return new LoopControlNode(word == "break" ? ControlFlow.Break : ControlFlow.Continue);
            case "generation": // marks what the model said, for training
                TemplateBody said = ParseUntil(["endgeneration"], out _);
                return said;
            default:
                throw new ChatTemplateException($"the statement '{word}' is not supported");
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
            if (tokens.TryTake("elif")) continue;
            if (tokens.TryTake("endif")) return new IfNode(cases, null);
            tokens.Expect("else");
            return new IfNode(cases, ParseUntil(["endif"], out _));
        }
    }

    private ForNode ParseFor(ExpressionParser tokens)
    {
        List<string> names = ParseTargets(tokens);
        tokens.Expect("in");
        TemplateExpression items = tokens.ParseExpression(withCondition: false);
        TemplateExpression? where = tokens.TryTake("if") ? tokens.ParseExpression() : null;
        if (tokens.Is("recursive")) throw new ChatTemplateException("recursive loops are not supported");
        tokens.ExpectEnd();
        TemplateBody each = ParseUntil(["else", "endfor"], out tokens);
        return new ForNode(names, items, where, each, tokens.TryTake("else") ? ParseUntil(["endfor"], out _) : null);
    }

    private SetNode ParseSet(ExpressionParser tokens)
    {
        List<string> names = ParseTargets(tokens);
        string? field = names.Count == 1 && tokens.TryTake(".") ? tokens.ExpectName() : null;
        if (tokens.TryTake("="))
        {
            TemplateExpression from = tokens.ParseTuple();
            tokens.ExpectEnd();
            return new SetNode(names, field, from, null, []);
        }
        List<(string, CallArgumentList)> filters = [];
        while (tokens.TryTake("|")) filters.Add(tokens.ParseFilter());
        tokens.ExpectEnd();
        return new SetNode(names, field, null, ParseUntil(["endset"], out _), filters);
    }

    private static List<string> ParseTargets(ExpressionParser tokens)
    {
        bool grouped = tokens.TryTake("(");
        List<string> names = [tokens.ExpectName()];
        while (tokens.TryTake(",")) names.Add(tokens.ExpectName());
        if (grouped) tokens.Expect(")");
        return names;
    }
}
