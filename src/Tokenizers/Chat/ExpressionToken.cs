namespace Ndif.Tokenizers.Chat;

internal enum ExpressionTokenKind { Name, String, Integer, Real, Operator, End }

/// <summary>A token of an expression. The text of a string is its value without quotes.</summary>
internal readonly record struct ExpressionToken(ExpressionTokenKind Kind, string Text);
