namespace Ndif.Tokenizers.Chat;

/// <summary>A function or method that a template can call.</summary>
internal delegate object? TemplateFunction(TemplateArguments arguments);
