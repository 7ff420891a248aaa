using System.Collections.Concurrent;

namespace Ndif.Tokenizers.Chat;

/// <summary>
/// The chat templates of a model by name. Most models have one, with the name "default". A template is parsed when it is used.
/// </summary>
/// <param name="sources">The sources of the templates by name.</param>
/// <remarks>transformers, tokenization_utils_base.py, get_chat_template</remarks>
internal sealed class ChatTemplateSet(IReadOnlyDictionary<string, string> sources)
{
    /// <summary>The name of the template that is used without tools.</summary>
    public const string Default = "default";

    private const string ToolUse = "tool_use";

    private readonly ConcurrentDictionary<string, ChatTemplate> _templates = new(StringComparer.Ordinal);

    /// <summary>Selects a template.</summary>
    /// <param name="nameOrSource">The name of a template, or the source of another template; null to choose by the tools.</param>
    /// <param name="hasTools">True if the conversation has tools, for which the template "tool_use" is made.</param>
    /// <exception cref="TokenizerFormatException">There is no such template, or it cannot be parsed.</exception>
    public ChatTemplate Select(string? nameOrSource, bool hasTools)
    {
        if (nameOrSource is not null && !sources.ContainsKey(nameOrSource))
        {
            return nameOrSource.Contains('{') ? Parse(nameOrSource, "chat_template")
                : throw new TokenizerFormatException("chat_template", $"the model has no chat template named '{nameOrSource}'. "
                    + DescribeNames());
        }
        string name = nameOrSource ?? (hasTools && sources.ContainsKey(ToolUse) ? ToolUse : Default);
        if (sources.Count == 0)
            throw new TokenizerFormatException("tokenizer_config.json: chat_template",
                "is missing: the files of this model contain no chat template. " +
                "Write the prompt without one, or add a chat_template.jinja to the model's folder.");
        return sources.TryGetValue(name, out string? source)
            ? Parse(source, sources.Count == 1 ? "chat_template" : $"chat_template '{name}'")
            : throw new TokenizerFormatException("chat_template",
                $"the model has several chat templates and none is named '{Default}': pass the name of one. " + DescribeNames());
    }

    private ChatTemplate Parse(string source, string location) => _templates.GetOrAdd(source, _ => new ChatTemplate(source, location));

    private string DescribeNames() => sources.Count == 0 ? "It has none."
        : $"It has: {string.Join(", ", sources.Keys.Order(StringComparer.Ordinal))}.";
}
