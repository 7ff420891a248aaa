namespace Ndif.Tokenizers.Chat.Syntax;

internal enum TemplateTokenKind { Data, PrintBegin, PrintEnd, BlockBegin, BlockEnd, Name, String, Integer, Real, Operator, End }

/// <summary>A token of a template. The text of a string literal is its value, and that of a number has no underscores.</summary>
/// <param name="Kind">The kind of the token.</param>
/// <param name="Text">The text of the token.</param>
/// <param name="Line">The line where the token starts, from 1.</param>
internal readonly record struct TemplateToken(TemplateTokenKind Kind, string Text, int Line)
{
    public bool IsName(string name) => Kind == TemplateTokenKind.Name && Text == name;

    public bool IsOperator(string text) => Kind == TemplateTokenKind.Operator && Text == text;

    /// <summary>The token in the words of a message.</summary>
    public string Description => Kind switch
    {
        TemplateTokenKind.End => "the end of the template",
        TemplateTokenKind.PrintEnd => "the end of the tag }}",
        TemplateTokenKind.BlockEnd => "the end of the tag %}",
        _ => $"'{Text}'",
    };
}
