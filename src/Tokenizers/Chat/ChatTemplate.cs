namespace Ndif.Tokenizers.Chat;

/// <summary>
/// A chat template: a Jinja template that formats a conversation as a model expects it. It supports the subset of Jinja that published
/// templates use (if, for, set, expressions, filters, tests, namespace and loop controls), with the settings and functions of
/// transformers. Templates are not trusted: a template can only read its variables and write text, and its steps and output are limited.
/// </summary>
/// <remarks>
/// transformers, utils/chat_template_utils.py, and jinja.palletsprojects.com/en/stable/templates. An instance is immutable and
/// thread-safe.
/// </remarks>
public sealed class ChatTemplate
{
    private readonly string _location;
    private readonly TemplateBody _body;

    /// <summary>Parses a template.</summary>
    /// <param name="source">The source of the template.</param>
    /// <param name="location">The file and field of the template, for the messages of exceptions.</param>
    /// <exception cref="TokenizerFormatException">
    /// The template cannot be parsed. The message gives the line and the reason.
    /// </exception>
    public ChatTemplate(string source, string location = "chat_template")
    {
        ArgumentNullException.ThrowIfNull(source);
        _location = location;
        try
        {
            _body = TemplateParser.Parse(source);
        }
        catch (ChatTemplateException e)
        {
            throw new TokenizerFormatException(location, e.Message, e);
        }
    }

    /// <summary>Renders the template.</summary>
    /// <param name="variables">
    /// The variables of the template by name. The values are strings, numbers, Booleans, lists, dictionaries with string keys,
    /// <see cref="System.Text.Json.JsonElement"/> values or <see cref="ChatMessage"/> objects.
    /// </param>
    /// <param name="time">The clock and time zone for strftime_now; null for <see cref="TimeProvider.System"/>.</param>
    /// <returns>The rendered text.</returns>
    /// <exception cref="TokenizerFormatException">
    /// The template rejects the conversation (<c>raise_exception</c>), uses an unsupported feature, or exceeds the limits on steps and
    /// output. The message gives the line and the reason.
    /// </exception>
    /// <exception cref="ArgumentException">A value has a type that a template cannot represent.</exception>
    public string Render(IReadOnlyDictionary<string, object?> variables, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(variables);
        using StringWriter output = new();
        TemplateScope scope = new(new RenderBudget(), output);
        try
        {
            foreach (var (name, function) in TemplateGlobals.Create(scope.Budget, time ?? TimeProvider.System)) scope.Set(name, function);
            foreach (var (name, value) in variables) scope.Set(name, TemplateValueConverter.FromObject(value));
            _body.Execute(scope.CreateChild());
            return output.ToString();
        }
        catch (ChatTemplateException e)
        {
            throw new TokenizerFormatException(_location, e.Message, e);
        }
    }
}
