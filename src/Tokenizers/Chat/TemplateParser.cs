namespace Ndif.Tokenizers.Chat;

/// <summary>Reads a template's statements: if, for, set, break, continue, generation, raw (in <see cref="Lexer"/>). No macros, no includes.</summary>
internal sealed class TemplateParser
{
    private readonly List<Piece> _pieces;
    private int _at, _depth;

    private TemplateParser(List<Piece> pieces) => _pieces = pieces;

    public static Body Parse(string template)
    {
        TemplateParser parser = new(Lexer.Cut(template));
        Body body = parser.Until([], out _);
        return body;
    }

    /// <summary>Statements up to one of these words, which is taken; without any, up to the end.</summary>
    private Body Until(string[] ends, out ExpressionParser end)
    {
        if (++_depth > Budget.Depth) throw new ChatTemplateException("statements are nested too deeply");
        List<Statement> statements = [];
        int opened = _at > 0 ? _pieces[_at - 1].Line : 1;
        for (; _at < _pieces.Count;)
        {
            Piece piece = _pieces[_at++];
            try
            {
                if (piece.Kind == PieceKind.Text)
                {
                    statements.Add(new Plain(piece.Content) { Line = piece.Line });
                    continue;
                }
                ExpressionParser words = new(Lexer.Words(piece.Content));
                if (piece.Kind == PieceKind.Print)
                {
                    statements.Add(new Print(words.Several()) { Line = piece.Line });
                    words.ExpectEnd();
                    continue;
                }
                if (Array.Exists(ends, words.Is))
                {
                    end = words;
                    _depth--;
                    return new Body(statements);
                }
                statements.Add(Statement(words) with { Line = piece.Line });
            }
            catch (ChatTemplateException e) when (!e.Message.StartsWith("line ", StringComparison.Ordinal))
            {
                throw new ChatTemplateException($"line {piece.Line}: {e.Message}", e);
            }
        }
        if (ends.Length > 0) throw new ChatTemplateException($"line {opened}: {ends[^1]} is missing");
        end = new ExpressionParser(Lexer.Words(""));
        _depth--;
        return new Body(statements);
    }

    private Statement Statement(ExpressionParser words)
    {
        string word = words.ExpectName();
        switch (word)
        {
            case "if": return If(words);
            case "for": return For(words);
            case "set": return Set(words);
            case "break" or "continue":
                words.ExpectEnd();
                return new Jump(word == "break" ? Flow.Break : Flow.Continue);
            case "generation": // marks what the model said, for training
                Body said = Until(["endgeneration"], out _);
                return said;
            default:
                throw new ChatTemplateException($"the statement '{word}' is not supported");
        }
    }

    private If If(ExpressionParser words)
    {
        List<(Expression, Body)> cases = [];
        while (true)
        {
            Expression condition = words.Several();
            words.ExpectEnd();
            cases.Add((condition, Until(["elif", "else", "endif"], out words)));
            if (words.Take("elif")) continue;
            if (words.Take("endif")) return new If(cases, null);
            words.Expect("else");
            return new If(cases, Until(["endif"], out _));
        }
    }

    private For For(ExpressionParser words)
    {
        List<string> names = Names(words);
        words.Expect("in");
        Expression items = words.One(withCondition: false);
        Expression? where = words.Take("if") ? words.One() : null;
        if (words.Is("recursive")) throw new ChatTemplateException("recursive loops are not supported");
        words.ExpectEnd();
        Body each = Until(["else", "endfor"], out words);
        return new For(names, items, where, each, words.Take("else") ? Until(["endfor"], out _) : null);
    }

    private Assignment Set(ExpressionParser words)
    {
        List<string> names = Names(words);
        string? field = names.Count == 1 && words.Take(".") ? words.ExpectName() : null;
        if (words.Take("="))
        {
            Expression from = words.Several();
            words.ExpectEnd();
            return new Assignment(names, field, from, null, []);
        }
        List<(string, Arguments)> filters = [];
        while (words.Take("|")) filters.Add(words.Filter());
        words.ExpectEnd();
        return new Assignment(names, field, null, Until(["endset"], out _), filters);
    }

    private static List<string> Names(ExpressionParser words)
    {
        bool grouped = words.Take("(");
        List<string> names = [words.ExpectName()];
        while (words.Take(",")) names.Add(words.ExpectName());
        if (grouped) words.Expect(")");
        return names;
    }
}
