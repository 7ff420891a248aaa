namespace Ndif.Tokenizers.Chat;

/// <summary>
/// The names that are visible in a part of a template. Each iteration of a loop has a child scope; names that it sets are not visible
/// after the iteration.
/// </summary>
/// <param name="budget">The limits of the rendering.</param>
/// <param name="output">The writer of the rendered text.</param>
/// <param name="parent">The enclosing scope; null for the global scope.</param>
internal sealed class TemplateScope(RenderBudget budget, TextWriter output, TemplateScope? parent = null)
{
    private readonly Dictionary<string, object?> _names = new(StringComparer.Ordinal);

    public RenderBudget Budget => budget;

    private TemplateScope? Parent => parent;

    /// <summary>Creates a child scope, which optionally writes to another writer.</summary>
    public TemplateScope CreateChild(TextWriter? childOutput = null) => new(budget, childOutput ?? output, this);

    public void Set(string name, object? value) => _names[name] = value;

    public object? Get(string name)
    {
        for (TemplateScope? scope = this; scope is not null; scope = scope.Parent)
            if (scope._names.TryGetValue(name, out object? value)) return value;
        return new UndefinedValue(name);
    }

    public void Write(string text) => output.Write(budget.CountOutput(text));
}
