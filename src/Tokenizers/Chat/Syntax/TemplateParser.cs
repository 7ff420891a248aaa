namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>
/// Parses the statements of a template. Statements that read other templates or change the escaping are refused by name: a chat template
/// is one file.
/// </summary>
/// <remarks>jinja2/parser.py</remarks>
internal sealed class TemplateParser
{
    private readonly TokenCursor _tokens;
    private readonly ExpressionParser _expressions;
    private readonly TargetParser _targets;
    private readonly HashSet<string> _blockNames = new(StringComparer.Ordinal);
    private int _depth, _loopDepth;

    private TemplateParser(string template)
    {
        _tokens = new TokenCursor(TemplateLexer.Tokenize(template));
        _expressions = new ExpressionParser(_tokens);
        _targets = new TargetParser(_tokens);
    }

    public static TemplateProgram Parse(string template)
    {
        TemplateParser parser = new(template);
        return TemplateProgram.Bind(parser.ParseBody([]));
    }

    /// <summary>Parses statements up to one of the end tags, or up to the end of the template if there are none.</summary>
    private TemplateBody ParseBody(string[] endTags)
    {
        if (++_depth > RenderBudget.MaxDepth) throw _tokens.CreateException("statements are nested too deeply");
        List<TemplateStatement> statements = [];
        int startLine = _tokens.Current.Line;
        while (_tokens.Current.Kind != TemplateTokenKind.End)
        {
            TemplateToken token = _tokens.Consume();
            _expressions.BeginTag();
            if (token.Kind == TemplateTokenKind.Data) statements.Add(new TextNode(token.Text) { Line = token.Line });
            else if (token.Kind == TemplateTokenKind.PrintBegin)
            {
                statements.Add(new OutputNode([_expressions.ParseTuple()]) { Line = token.Line });
                _tokens.Expect(TemplateTokenKind.PrintEnd);
            }
            else if (_tokens.Current.Kind == TemplateTokenKind.Name && endTags.Contains(_tokens.Current.Text))
            {
                _depth--;
                return new TemplateBody(statements);
            }
            else
            {
                statements.Add(ParseStatement() with { Line = token.Line });
                _tokens.Expect(TemplateTokenKind.BlockEnd);
            }
        }
        if (endTags.Length > 0) throw new ChatTemplateException($"line {startLine}: {endTags[^1]} is missing");
        _depth--;
        return new TemplateBody(statements);
    }

    /// <summary>Parses the end of an opening tag and the body after it, and moves to the name of the end tag.</summary>
    private TemplateBody ParseBlock(params string[] endTags)
    {
        _tokens.TryConsumeOperator(":"); // allowed, as in Python
        _tokens.Expect(TemplateTokenKind.BlockEnd);
        return ParseBody(endTags);
    }

    /// <summary>Parses a body up to its end tag, which is consumed.</summary>
    private TemplateBody ParseWholeBlock(string endTag)
    {
        TemplateBody body = ParseBlock(endTag);
        _tokens.ExpectName(endTag);
        return body;
    }

    /// <summary>Parses the body of a macro or block, which no loop around it can be left from.</summary>
    private TemplateBody ParseFunctionBody(string endTag)
    {
        (int loops, _loopDepth) = (_loopDepth, 0);
        TemplateBody body = ParseWholeBlock(endTag);
        _loopDepth = loops;
        return body;
    }

    private TemplateStatement ParseStatement()
    {
        string name = _tokens.ExpectName();
        switch (name)
        {
            case "if": return ParseIf();
            case "for": return ParseFor();
            case "set": return ParseSet();
            case "with": return ParseWith();
            case "macro": return ParseMacro();
            case "call": return ParseCall();
            case "block": return ParseNamedBlock();
            case "filter": return new FilterBlockNode(_expressions.ParseFilters(CapturedTextExpression.Instance, true),
                ParseWholeBlock("endfilter"));
            case "print": return ParsePrint();
            case "generation": // transformers' tag for the assistant's tokens, which only training uses
                return new GenerationNode(new MacroSignature("", []), ParseFunctionBody("endgeneration"));
            case "break" or "continue":
                if (_loopDepth == 0) throw _tokens.CreateException($"'{name}' is outside of a loop");
                return new LoopControlNode(name == "break" ? ControlFlow.Break : ControlFlow.Continue);
            case "include" or "import" or "from" or "extends":
                throw _tokens.CreateException($"the statement '{name}' is not supported: a chat template cannot read other templates");
            default:
                throw _tokens.CreateException($"the statement '{name}' is not supported");
        }
    }

    private IfNode ParseIf()
    {
        List<(TemplateExpression, TemplateBody)> cases = [];
        TemplateBody? otherwise = null;
        _expressions.ConditionDepth++;
        do
        {
            TemplateExpression condition = _expressions.ParseTuple(withCondition: false);
            cases.Add((condition, ParseBlock("elif", "else", "endif")));
        }
        while (_tokens.TryConsumeName("elif"));
        if (_tokens.TryConsumeName("else")) otherwise = ParseBlock("endif");
        _tokens.ExpectName("endif");
        _expressions.ConditionDepth--;
        return new IfNode(cases, otherwise);
    }

    private ForNode ParseFor()
    {
        AssignmentTarget target = _targets.Parse();
        _tokens.ExpectName("in");
        TemplateExpression items = _expressions.ParseTuple(withCondition: false);
        TemplateExpression? condition = _tokens.TryConsumeName("if") ? _expressions.ParseExpression() : null;
        bool isRecursive = _tokens.TryConsumeName("recursive");
        _loopDepth++;
        TemplateBody body = ParseBlock("endfor", "else");
        _loopDepth--;
        TemplateBody? otherwise = _tokens.TryConsumeName("else") ? ParseBlock("endfor") : null;
        _tokens.ExpectName("endfor");
        return new ForNode(target, items, condition, isRecursive, body, otherwise);
    }

    private TemplateStatement ParseSet()
    {
        AssignmentTarget target = _targets.Parse(withNamespace: true);
        if (_tokens.TryConsumeOperator("=")) return new SetNode(target, _expressions.ParseTuple());
        TemplateExpression filters = _expressions.ParseFilters(CapturedTextExpression.Instance);
        return new SetBlockNode(target, filters, ParseWholeBlock("endset"));
    }

    private WithNode ParseWith()
    {
        List<(AssignmentTarget, TemplateExpression)> assignments = [];
        while (_tokens.Current.Kind != TemplateTokenKind.BlockEnd)
        {
            if (assignments.Count > 0) _tokens.ExpectOperator(",");
            AssignmentTarget target = _targets.Parse();
            _tokens.ExpectOperator("=");
            assignments.Add((target, _expressions.ParseExpression()));
        }
        return new WithNode(assignments, ParseWholeBlock("endwith"));
    }

    private MacroNode ParseMacro()
    {
        string name = _targets.ParseName();
        return new MacroNode(new MacroSignature(name, ParseParameters()), ParseFunctionBody("endmacro"));
    }

    private CallBlockNode ParseCall()
    {
        List<MacroParameter> parameters = _tokens.IsOperator("(") ? ParseParameters() : [];
        if (_expressions.ParseExpression() is not CallExpression call) throw _tokens.CreateException(
            "a call block needs a call: {% call f() %}");
        return new CallBlockNode(call, new MacroSignature("", parameters), ParseFunctionBody("endcall"));
    }

    private List<MacroParameter> ParseParameters()
    {
        List<MacroParameter> parameters = [];
        _tokens.ExpectOperator("(");
        while (!_tokens.TryConsumeOperator(")"))
        {
            if (parameters.Count > 0) _tokens.ExpectOperator(",");
            string name = _targets.ParseName();
            TemplateExpression? defaultValue = _tokens.TryConsumeOperator("=") ? _expressions.ParseExpression() : null;
            if (defaultValue is null && parameters.Exists(p => p.Default is not null))
                throw _tokens.CreateException($"the parameter '{name}' follows a parameter with a default, so it needs one");
            if (parameters.Exists(p => p.Name == name)) throw _tokens.CreateException($"the parameter '{name}' is there twice");
            parameters.Add(new MacroParameter(name, defaultValue));
        }
        return parameters;
    }

    private BlockNode ParseNamedBlock()
    {
        string name = _tokens.ExpectName();
        if (!_blockNames.Add(name)) throw _tokens.CreateException($"the block '{name}' is there twice");
        bool isScoped = _tokens.TryConsumeName("scoped");
        if (_tokens.IsName("required")) throw _tokens.CreateException(
            "a required block is not supported: a chat template cannot be extended");
        TemplateBody body = ParseFunctionBody("endblock");
        _tokens.TryConsumeName(name);
        return new BlockNode(name, isScoped, body);
    }

    private OutputNode ParsePrint()
    {
        List<TemplateExpression> values = [];
        while (_tokens.Current.Kind != TemplateTokenKind.BlockEnd)
        {
            if (values.Count > 0) _tokens.ExpectOperator(",");
            values.Add(_expressions.ParseExpression());
        }
        return new OutputNode(values);
    }
}
