namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>The position of the parser in the tokens of a template.</summary>
/// <remarks>jinja2/lexer.py, TokenStream</remarks>
internal sealed class TokenCursor(List<TemplateToken> tokens)
{
    private int _position;

    public TemplateToken Current => tokens[_position];

    public TemplateToken Next => tokens[Math.Min(_position + 1, tokens.Count - 1)];

    public TemplateToken Consume() => _position < tokens.Count - 1 ? tokens[_position++] : tokens[_position];

    public bool IsOperator(string text) => Current.IsOperator(text);

    public bool IsName(string name) => Current.IsName(name);

    public bool TryConsumeOperator(string text) => TryConsume(Current.IsOperator(text));

    public bool TryConsumeName(string name) => TryConsume(Current.IsName(name));

    public void ExpectOperator(string text)
    {
        if (!TryConsumeOperator(text)) throw CreateException($"'{text}' is expected, not {Current.Description}");
    }

    public void ExpectName(string name)
    {
        if (!TryConsumeName(name)) throw CreateException($"'{name}' is expected, not {Current.Description}");
    }

    public string ExpectName()
    {
        if (Current.Kind != TemplateTokenKind.Name) throw CreateException($"a name is expected, not {Current.Description}");
        return Consume().Text;
    }

    public void Expect(TemplateTokenKind kind)
    {
        if (Current.Kind != kind) throw CreateException($"{Current.Description} is not expected here");
        Consume();
    }

    public ChatTemplateException CreateException(string reason) => new($"line {Current.Line}: {reason}");

    private bool TryConsume(bool matches)
    {
        if (matches) Consume();
        return matches;
    }
}
