namespace Ndif.Tokenizers.Chat;

/// <summary>
/// A chat template: a Jinja template that formats a conversation as a model expects it. It supports the language of Jinja2 with the
/// settings, functions and filters of transformers; what reads other templates or is random is refused by name. Templates are not
/// trusted: a template can only read its variables and write text, and its steps and output are limited.
/// </summary>
/// <remarks>
/// transformers, utils/chat_template_utils.py, and jinja.palletsprojects.com/en/stable/templates. An instance is immutable and
/// thread-safe.
/// </remarks>
public sealed class ChatTemplate
{
    private readonly string _location;
    private readonly TemplateProgram _program;

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
            _program = TemplateParser.Parse(source);
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
        try
        {
            Dictionary<string, object?> values = TemplateGlobals.Create();
            foreach (var (name, value) in variables) values[name] = TemplateValueConverter.FromObject(value);
            return _program.Render(new RenderContext(new RenderBudget(), time ?? TimeProvider.System, values));
        }
        catch (ChatTemplateException e)
        {
            throw new TokenizerFormatException(_location, e.Message, e);
        }
    }
}
